"""What a file and flags say of an endpoint. What they don't say is None: an update leaves it."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmarks.scaling.pools import POOLS
from builder.deploy import hub_file
from builder.deploy.errors import CannotDeploy
from flux_worker.contract.catalog import MODELS, ServedModel

MOST_POOLS = 3
"""https://docs.runpod.io/serverless/endpoints/endpoint-configurations"""

Count = Annotated[int, Field(ge=0)]


class Wanted(BaseModel):
    """An endpoint as the file describes it; flags win."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(min_length=3)] | None = None
    """At least 3 characters, by `runpodctl serverless create`."""
    image: str | None = None
    model: str | None = None
    """As FLUX_MODEL."""
    pools: Annotated[list[str], Field(min_length=1, max_length=MOST_POOLS)] | None = None
    workers_min: Count | None = None
    workers_max: Count | None = None
    idle_timeout: Annotated[int, Field(ge=1, le=3600)] | None = None
    """Seconds."""
    execution_timeout: Annotated[int, Field(ge=5, le=604_800)] | None = None
    """Seconds."""
    flashboot: Literal["off", "on", "priority"] | None = None
    cached_model: Annotated[str, Field(pattern=r"^([\w.-]+/[\w.-]+(:[\w./-]+)?|none)$")] | None = (
        None
    )
    """A repository, `owner/name` or `owner/name:revision`; or `none`."""
    disk: Annotated[int, Field(ge=1)] | None = None
    """GB of the container's disk."""
    cuda: Annotated[str, Field(pattern=r"^\d+\.\d+$")] | None = None
    """The lowest version that a host may have."""
    secrets: dict[str, str] = {}
    """For each variable of the worker, the name of the Runpod secret that holds its value."""
    env: dict[str, str] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.model is not None and self.model not in MODELS:
            raise ValueError(f"model must be one of {', '.join(MODELS)}")
        if self.name and not (self.name.isprintable() and self.name == self.name.strip()):
            raise ValueError("name must have no blanks at its ends, and nothing unprintable in it")
        if self.image is not None and not re.fullmatch(r"[!-~]+", self.image):
            raise ValueError("image is one such as you/flux-worker:1.0, without blanks")
        if self.cuda and _version(self.cuda) < _version(hub_file.cuda()):
            raise ValueError(f"cuda must be {hub_file.cuda()} or newer: the image needs such hosts")
        if self.pools and len(set(self.pools)) < len(self.pools):
            raise ValueError("pools names a pool twice")
        low, high = self.workers_min, self.workers_max
        if low is not None and high is not None and low > high:
            raise ValueError(f"workers_min ({low}) is more than workers_max ({high})")
        return self

    @property
    def served(self) -> ServedModel:
        """The model, by default that of the worker."""
        return MODELS[self.model or "dev"]


def _version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def read(path: Path | None, flags: Mapping[str, Any]) -> Wanted:
    """Read the file, if there is one, and put the flags that were given over it.

    Raises:
        CannotDeploy: something is misspelt, unknown or out of its limits.
    """
    told: dict[str, Any] = {}
    if path is not None:
        try:
            told = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise CannotDeploy(f"{path} can't be read: {error.strerror}.") from None
        except ValueError as error:
            raise CannotDeploy(f"{path} is no TOML: {error}.") from None
    for name, value in flags.items():
        if name in ("env", "secrets"):
            before = told.get(name, {})
            # What is no table is left, for it to be refused.
            told[name] = {**before, **value} if isinstance(before, dict) else before
        elif value is not None:
            told[name] = value
    try:
        return Wanted.model_validate(told)
    except ValidationError as error:
        where = f"{path}" if path else "The flags"
        raise CannotDeploy(f"{where}: {'; '.join(_faults(error))}.") from None


def _faults(error: ValidationError) -> list[str]:
    """Say what is wrong. Values aren't repeated: one may be a key in the wrong place."""
    faults = []
    for each in error.errors():
        name = ".".join(map(str, each["loc"]))
        if each["type"] == "extra_forbidden":
            faults.append(
                f"{name} is unknown: there are {', '.join(Wanted.model_fields)}; variables of the "
                "worker stand under [env]"
            )
        else:
            said = str(each["msg"]).removeprefix("Value error, ")
            faults.append(f"{name}: {said}" if name else said)
    return faults


def check_pools(pools: list[str], offered: Mapping[str, float | None]) -> None:
    """Look whether Runpod has these pools.

    Args:
        pools: what is wanted.
        offered: the pools in Runpod's catalog; empty where it wasn't asked.

    Raises:
        CannotDeploy: it doesn't have one.
    """
    known = list(offered or POOLS)
    if unknown := [pool for pool in pools if pool not in known]:
        raise CannotDeploy(
            f"There is no pool {', '.join(unknown)}. Runpod has {', '.join(sorted(known))}."
        )
