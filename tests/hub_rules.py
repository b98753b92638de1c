"""The rules of the Hub's two files, field by field: https://docs.runpod.io/hub/publishing-guide.

What the page leaves open is narrowed to what this project means: GPUs alone, pools and CUDA
versions that are known to exist, defaults of the input's own type.
"""

import itertools
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from benchmarks.scaling.pools import POOLS

CUDA_VERSIONS = ("13.0", "13.1", "13.2", "13.3")
"""Those of Runpod's hosts that run torch's CUDA 13 build; matched exactly, so none is made up."""
GPU_IDS = {card for pool in POOLS.values() for card in pool.cards}

Text = Annotated[str, StringConstraints(min_length=1)]
Sentence = Annotated[str, StringConstraints(pattern=r"^[A-Za-z].*\.$")]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
Value = str | int | bool


def _known_pools(text: str) -> str:
    names = text.split(",")
    if unknown := [name for name in names if name not in POOLS]:
        raise ValueError(f"unknown pools: {unknown}")
    if len(set(names)) < len(names):
        raise ValueError("a pool stands there twice")
    return text


def _known_card(name: str) -> str:
    if name not in GPU_IDS:
        raise ValueError("no card of a served pool")
    return name


def _keys_once(entries: list[Any]) -> list[Any]:
    keys = [entry.key for entry in entries]
    if len(set(keys)) < len(keys):
        raise ValueError("a variable stands there twice")
    return entries


Pools = Annotated[str, AfterValidator(_known_pools)]
CudaVersions = Annotated[list[Literal[CUDA_VERSIONS]], Field(min_length=1)]  # type: ignore[valid-type]


class Strict(BaseModel):
    """Fields of their own types, and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Option(Strict):
    """What a menu shows, and what the variable becomes."""

    label: Text
    value: Text


class Input(Strict):
    """A field of the form."""

    name: Text
    type: Literal["string", "number", "boolean", "huggingface"]
    description: Sentence
    default: Value
    required: bool = False
    advanced: bool = False
    options: Annotated[list[Option], Field(min_length=2)] | None = None
    min: int | None = None
    max: int | None = None
    trueValue: Text | None = None  # noqa: N815 - the file's own name
    falseValue: Text | None = None  # noqa: N815

    @model_validator(mode="after")
    def _default_is_a_value(self) -> Self:
        if not self.takes(self.default):
            raise ValueError("the default is no value of this input")
        return self

    @model_validator(mode="after")
    def _fields_are_of_this_type(self) -> Self:
        if (self.type == "number") is (self.min is None or self.max is None):
            raise ValueError("min and max are a number's, and a number has both")
        if (self.type == "boolean") is (self.trueValue is None or self.falseValue is None):
            raise ValueError("trueValue and falseValue are a boolean's, and it has both")
        return self

    def takes(self, value: Value) -> bool:
        """Whether the form could give this value."""
        if self.type == "boolean":
            return isinstance(value, bool)
        if self.type == "number":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return whole and (self.min or 0) <= value <= (self.max or 0)  # type: ignore[operator]
        named = self.options is None or value in [option.value for option in self.options]
        return isinstance(value, str) and named


class Variable(Strict):
    """A variable: either fixed, or asked for."""

    key: Key
    value: str | None = None
    input: Input | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.value is None) is (self.input is None):
            raise ValueError("a variable has a value or an input")
        return self


class Preset(Strict):
    """Defaults that go together."""

    name: Text
    defaults: Annotated[dict[Key, Value], Field(min_length=1)]


class ListingConfig(Strict):
    """What an endpoint is made of."""

    runsOn: Literal["GPU"]  # noqa: N815
    containerDiskInGb: Annotated[int, Field(gt=0)]  # noqa: N815
    gpuCount: Literal[1]  # noqa: N815
    gpuIds: Pools  # noqa: N815
    allowedCudaVersions: CudaVersions  # noqa: N815
    presets: list[Preset]
    env: Annotated[list[Variable], AfterValidator(_keys_once)]

    @model_validator(mode="after")
    def _presets_are_of_the_inputs(self) -> Self:
        inputs = {entry.key: entry.input for entry in self.env if entry.input}
        for key, value in itertools.chain(*(preset.defaults.items() for preset in self.presets)):
            if key not in inputs:
                raise ValueError(f"a preset sets {key}, which is no input")
            if not inputs[key].takes(value):
                raise ValueError(f"a preset sets {key} to what it can't be")
        if len({preset.name for preset in self.presets}) < len(self.presets):
            raise ValueError("two presets have one name")
        return self


class Listing(Strict):
    """`.runpod/hub.json`."""

    title: Text
    description: Sentence
    type: Literal["serverless"]
    category: Literal["audio", "embedding", "language", "video", "image"]
    iconUrl: Annotated[str, AfterValidator(lambda url: str(AnyHttpUrl(url)))]  # noqa: N815
    config: ListingConfig


class Case(Strict):
    """A request that the Hub sends to a new release."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
    input: Annotated[dict[str, Any], Field(min_length=1)]
    timeout: Annotated[int, Field(ge=10_000)]
    """Milliseconds. As seconds it would be hours."""


class Fixed(Strict):
    """A variable of the tests' worker."""

    key: Key
    value: str


class ReleaseConfig(Strict):
    """On what the tests run."""

    gpuTypeId: Annotated[str, AfterValidator(_known_card)]  # noqa: N815
    gpuCount: Literal[1]  # noqa: N815
    env: Annotated[list[Fixed], AfterValidator(_keys_once)]
    allowedCudaVersions: CudaVersions  # noqa: N815


class ReleaseTests(Strict):
    """`.runpod/tests.json`."""

    tests: Annotated[list[Case], Field(min_length=1)]
    config: ReleaseConfig
