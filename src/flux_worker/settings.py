"""Every setting of the worker, read once at cold start from the environment."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from flux_worker.baked import BAKED_SETTINGS, BAKED_WEIGHTS
from flux_worker.contract.catalog import MODELS, Price, ServedModel
from flux_worker.errors import CannotStart

SEVEN_DAYS = 604_800
"""Seconds. How long documented image URLs live, and the longest that SigV4 can presign."""
LORA_HOSTS = (
    "huggingface.co,*.huggingface.co,*.hf.co,civitai.com,*.civitai.com,"
    "*.5ac0637cfd0766c97916cefa3764fbdf.r2.cloudflarestorage.com"
)
"""Those of the two large collections, and where they redirect to. The last is civitai.com's own
account at Cloudflare R2."""

Precision = Literal["auto", "bf16", "fp8", "int8"]
Attention = Literal["auto", "native", "cudnn", "flash3", "flash4"]
Offload = Literal["auto", "none", "text_encoder", "transformer"]
LogLevel = Annotated[
    Literal["NOTSET", "TRACE", "DEBUG", "INFO", "WARN", "ERROR"],
    BeforeValidator(lambda text: str(text).upper()),
]


def _served(name: str) -> str:
    if name not in MODELS:
        raise PydanticCustomError(
            "unknown_model", "must be one of {names}", {"names": ", ".join(MODELS)}
        )
    return name


def _plain(value: object) -> object:
    # Python also takes 1_000, 1e3, -0 and the digits of other scripts: nobody means these here.
    if isinstance(value, str) and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        raise PydanticCustomError("number", "must be a number in plain digits, such as 2 or 0.02")
    return value


def _repository(model_path: str) -> str:
    """Leave out the revision; the Hub takes a name in any case."""
    return model_path.partition("@")[0].lower()


def _unless_auto(value: object) -> object:
    return None if str(value).lower() == "auto" else value


def _hosts(text: str) -> str:
    names = [name.strip() for name in text.lower().split(",")]
    if not all(re.fullmatch(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", name) for name in names):
        raise PydanticCustomError(
            "hosts", "must be host names between commas, such as huggingface.co,*.hf.co"
        )
    return ",".join(names)


ModelName = Annotated[str, AfterValidator(_served)]
Plain = BeforeValidator(_plain)


class Settings(BaseSettings):
    """The environment variables of the same names in capitals; an empty one counts as not set."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    flux_model: ModelName = "dev"
    model_path: str | None = None
    hf_token: SecretStr | None = None
    allow_cpu: bool = False
    precision: Precision = "auto"
    attention: Attention = "auto"
    compile: Annotated[bool | None, BeforeValidator(_unless_auto)] = None
    compile_cache_dir: Path | None = None
    offload: Offload = "auto"
    warmup_sizes: str = "1024x1024"
    jobs_in_flight: Annotated[int, Plain] = Field(default=8, ge=1, le=64)
    price_per_megapixel: Annotated[Decimal | None, Plain] = Field(default=None, ge=0, le=1000)
    embed_metadata: bool = True
    runpod_log_level: LogLevel = "INFO"

    lora_dir: Path = Path("/runpod-volume/loras")
    lora_hosts: Annotated[str, AfterValidator(_hosts)] = LORA_HOSTS
    lora_cache_dir: Path | None = None
    lora_cache_gb: Annotated[int, Plain] = Field(default=20, ge=1, le=10_000)
    max_lora_mb: Annotated[int, Plain] = Field(default=2000, ge=1, le=100_000)
    max_lora_rank: Annotated[int, Plain] = Field(default=256, ge=1, le=4096)
    civitai_token: SecretStr | None = None

    image_hosts: Annotated[str, AfterValidator(_hosts)] = "*"

    bucket_endpoint_url: str | None = None
    bucket_access_key_id: SecretStr | None = None
    bucket_secret_access_key: SecretStr | None = None
    bucket_session_token: SecretStr | None = None
    bucket_name: str | None = None
    bucket_region: str | None = None
    bucket_addressing: Literal["auto", "path", "virtual"] = "auto"
    bucket_prefix: str = ""
    bucket_public_url: str | None = None
    bucket_presign_url: str | None = None
    url_ttl_seconds: Annotated[int, Plain] = Field(default=SEVEN_DAYS, ge=1, le=SEVEN_DAYS)
    allow_private_addresses: bool = False

    @model_validator(mode="before")
    @classmethod
    def _without_blanks_around(cls, given: dict[str, object]) -> dict[str, object]:
        # Pasted values often end in a blank or a line break, which no setting means.
        stripped = {k: v.strip() if isinstance(v, str) else v for k, v in given.items()}
        return {name: value for name, value in stripped.items() if value != ""}

    @classmethod
    def from_environment(cls, baked: Path = BAKED_WEIGHTS) -> Self:
        """Read the environment, and what the image serves where that says nothing else.

        Args:
            baked: the folder of the weights in the image, if there are any.

        Raises:
            CannotStart: a variable holds something that it can't; its value is not repeated.
        """
        try:
            given = cls()
            return given.model_copy(update=_choice_of_the_image(given, baked))
        except ValidationError as error:
            faults = (f"{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
            raise CannotStart("Correct these environment variables: " + "; ".join(faults)) from None

    @property
    def model(self) -> ServedModel:
        """The contract that is served."""
        return MODELS[self.flux_model]

    @property
    def price(self) -> Price:
        """What an image costs: the operator's price for a megapixel, or the served model's."""
        if self.price_per_megapixel is None:
            return self.model.price
        return Price(self.price_per_megapixel)


def _choice_of_the_image(given: Settings, baked: Path) -> dict[str, str | None]:
    """Return the weights in the image, unless the environment asks for others.

    A model and its weights are one choice. One of them from here and the other from there would be
    a contract for weights that it isn't of.
    """
    file = baked / BAKED_SETTINGS
    try:
        choice = json.loads(file.read_bytes())
        name, path = choice["FLUX_MODEL"], choice.get("MODEL_PATH")
        official = MODELS[name].repository
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise CannotStart(
            f"{file} can't be read or is damaged: it says what the image serves, so build the "
            "image again, and let the worker's user read it."
        ) from None
    if given.flux_model != name and "flux_model" in given.model_fields_set:
        return {}
    repository = _repository(path or official)
    if given.model_path and _repository(given.model_path) != repository:
        return {}
    return {"flux_model": name, "model_path": given.model_path or path}
