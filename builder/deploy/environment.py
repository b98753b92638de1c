"""The worker's variables: known by name, right by the worker's own code, and free of keys.

How a variable refers to a secret: https://docs.runpod.io/pods/templates/secrets. That page is
Pods'; that REST v2 resolves the same words for Serverless is what others rely on, and not written.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from builder.deploy.errors import CannotDeploy
from builder.deploy.wanted import Wanted
from flux_worker.delivery import bucket
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings

OTHERS = {
    "RUNPOD_INIT_TIMEOUT": r"[1-9][0-9]*",
    "HF_HOME": r"/.*",
    "HF_HUB_OFFLINE": r"[01]",
    "HF_ENDPOINT": r"https?://.*",
    "HTTP_PROXY": r".+",
    "HTTPS_PROXY": r".+",
    "NO_PROXY": r".+",
}
"""Variables that aren't the worker's own, and what they may be."""
TELEMETRY = re.compile(r"OTEL_[A-Z0-9_]+")
"""OpenTelemetry's, which reads them itself; those that end like this hold keys."""
HEADERS = "_HEADERS"
REFERENCE = re.compile(r"\{\{ ?RUNPOD_SECRET_[A-Za-z0-9_-]+ ?\}\}")
KEY_LIKE = re.compile(
    r"hf_\w{10,}|rpa_\w{10,}|(AKIA|ASIA)[A-Z0-9]{12,}"
    r"|(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+=]{30,}"
)
"""Hugging Face's, Runpod's and AWS's keys, and long ones of letters and digits alone. A bucket's
name or a path of that length has hyphens, dots or slashes."""
SECRETS = {
    name.upper()
    for name, field in Settings.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
}


class _Given(Settings):
    """The settings with these values alone, whatever this process's environment has."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def environment(wanted: Wanted) -> dict[str, str]:
    """Return the variables to set, secrets as references to them.

    Raises:
        CannotDeploy: one is unknown, wrong, or a secret that would be written down.
    """
    faults = [*_of_secrets(wanted.secrets), *_of_names([*wanted.env, *wanted.secrets])]
    if "FLUX_MODEL" in wanted.env:
        faults.append("FLUX_MODEL is set by `model`")
    for name, value in wanted.env.items():
        faults += _of_value(name, value)
    references = {
        name: f"{{{{ RUNPOD_SECRET_{secret} }}}}" for name, secret in wanted.secrets.items()
    }
    if both := sorted(set(wanted.env) & set(references)):
        faults.append(f"{', '.join(both)} is both under [env] and under [secrets]")
    if faults:
        raise CannotDeploy("; ".join(faults) + ".")
    model = {"FLUX_MODEL": wanted.model} if wanted.model else {}
    return {**model, **wanted.env, **references}


def check(variables: Mapping[str, str]) -> None:
    """Hold the variables that an endpoint would have against the worker's own rules.

    Raises:
        CannotDeploy: the worker wouldn't start with them; values aren't repeated.
    """
    given: dict[str, Any] = {
        name.lower(): "hidden" if name in SECRETS and REFERENCE.fullmatch(value) else value
        for name, value in variables.items()
        if name in SECRETS or not REFERENCE.fullmatch(value)
    }
    try:
        settings = _Given(**{k: v for k, v in given.items() if k in Settings.model_fields})
    except ValidationError as error:
        faults = (f"{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise CannotDeploy("; ".join(faults) + ".") from None
    hidden = {n for n, v in variables.items() if REFERENCE.fullmatch(v)} - SECRETS
    if any(name.startswith("BUCKET_") for name in hidden):
        return  # whether the bucket is whole depends on what only Runpod knows
    try:
        bucket.from_settings(settings)
    except CannotStart as error:
        raise CannotDeploy(str(error)) from None


def shown(name: str, value: str | None) -> str:
    """Write a value, unless it may be a secret."""
    if value is None:
        return "(not set)"
    if REFERENCE.fullmatch(value) or (_is_known(name) and not _holds_secret(name, value)):
        return value or "(empty)"
    return "(a value that isn't shown)"


def _is_known(name: str) -> bool:
    is_ours = name == name.upper() and name.lower() in Settings.model_fields
    return is_ours or name in OTHERS or bool(TELEMETRY.fullmatch(name))


def _holds_secret(name: str, value: str) -> bool:
    is_secret = name in SECRETS or (TELEMETRY.fullmatch(name) and name.endswith(HEADERS))
    return bool(is_secret or KEY_LIKE.fullmatch(value) or re.match(r"(\w+://)?[^/]*:[^/]*@", value))


def _of_names(names: list[str]) -> list[str]:
    known = [*(name.upper() for name in Settings.model_fields), *OTHERS]
    faults = []
    for name in names:
        if not _is_known(name):
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ": docs/settings.md lists them"
            faults.append(f"{name} is no variable of the worker{hint}")
    return faults


def _of_secrets(secrets: Mapping[str, str]) -> list[str]:
    faults = []
    for name, secret in secrets.items():
        if KEY_LIKE.fullmatch(secret) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", secret):
            faults.append(
                f"{name} under [secrets] must be the name of a Runpod secret, such as hf_token, "
                "and not the secret itself: store that at https://console.runpod.io/user/secrets"
            )
    return faults


def _of_value(name: str, value: str) -> list[str]:
    if REFERENCE.fullmatch(value):
        return []
    if _holds_secret(name, value):
        return [
            f"{name} under [env] holds what looks like a secret: store it at "
            "https://console.runpod.io/user/secrets, and write that secret's name under [secrets]"
        ]
    if name in OTHERS and not re.fullmatch(OTHERS[name], value):
        return [f"{name} isn't what it can be"]
    return []
