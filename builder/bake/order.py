"""What is to be baked into an image, as the build's arguments and its secret say it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flux_worker.contract.catalog import MODELS, ServedModel
from flux_worker.errors import CannotStart
from flux_worker.weights.hub_errors import Advice
from flux_worker.weights.layout import split
from flux_worker.weights.remote import Remote

GIVE_TOKEN = "build with --secret id=hf_token,src=FILE, where FILE holds"  # noqa: S105


@dataclass(frozen=True)
class Order:
    """Weights, where they are from, and what can be done if they can't be had."""

    remote: Remote
    revision: str | None
    """A branch, a tag or a commit; None is the newest."""
    model: ServedModel | None
    """What they are served as; None is what their configuration says."""
    advice: Advice

    @property
    def token(self) -> str | None:
        """Of the Hub."""
        return self.remote.token

    @property
    def wanted(self) -> str:
        """What the sentences call them."""
        return "@".join(filter(None, (self.remote.repository, self.revision)))

    @classmethod
    def read(cls, environment: Mapping[str, str], secret: Path) -> "Order | None":
        """Read the build's arguments, or return None where nothing is to be baked.

        Raises:
            CannotStart: they contradict each other, or the secret can't be read.
        """
        bake, pinned, served = (
            environment.get(name, "").strip() for name in ("BAKE", "BAKE_REVISION", "BAKE_MODEL")
        )
        if not bake:
            return None
        name, revision = split(bake)
        if revision and pinned and revision != pinned:
            raise CannotStart(f"BAKE={bake} and BAKE_REVISION={pinned} are two revisions: set one.")
        if served and served not in MODELS:
            raise CannotStart(f"BAKE_MODEL must be one of {', '.join(MODELS)}.")
        model = _official(name)
        token, no_token = _token(secret)
        return cls(
            Remote(model.repository if model else name, token),
            pinned or revision,
            MODELS[served] if served else model,
            _advice(no_token),
        )


def _official(name: str) -> ServedModel | None:
    repositories = {model.repository.lower(): model for model in MODELS.values()}
    return MODELS.get(name) or repositories.get(name.lower())


def _token(secret: Path) -> tuple[str | None, str]:
    """Return the token, or None and what is wrong with the secret."""
    try:
        token = secret.read_text("utf-8-sig").strip()  # as Windows writes it
    except FileNotFoundError:
        return None, "the build was given no secret of the id hf_token"
    except (OSError, ValueError):
        raise CannotStart(f"The secret hf_token can't be read: {GIVE_TOKEN} a token.") from None
    return token or None, "the secret hf_token is empty"


def _advice(no_token: str) -> Advice:
    return Advice(
        holder="the secret hf_token",
        lacks=no_token,
        give=GIVE_TOKEN,
        other_weights="set BAKE to other weights",
        other_revision="set BAKE_REVISION to",
        more_room="give the builder a larger disk",
        writable="build as a user who may write there",
        no_network="give the build a network, or set HF_ENDPOINT to a mirror it reaches",
    )
