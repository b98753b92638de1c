"""A job's `input`, checked against the served model's documented limits.

What is checked and what is forgiven follows what real clients send: null stands for the default,
some send an empty negative prompt, other names for a key, or keys of other models.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from flux_worker.contract import foreign, sizes, spelling, task_choice
from flux_worker.contract.catalog import ServedModel, Task
from flux_worker.contract.loras import Lora, Loras
from flux_worker.contract.pictures import Picture
from flux_worker.contract.values import (
    Flag,
    ImageFormat,
    Integer,
    NegativePrompt,
    Number,
    OptionalNumber,
    Prompt,
    Seed,
    context,
    shown,
)
from flux_worker.errors import InvalidRequest

MAX_KEYS = 100
"""Far more than any client sends; each unknown key costs a comparison with every known one."""

RULES = {
    "missing": "is required",
    "extra_forbidden": f"is unknown: each of loras has {' and '.join(Lora.model_fields)}",
}
"""What pydantic says in its own words."""


class ImageRequest(BaseModel):
    """One image to make, within the documented limits, every default filled in.

    The seed is the one that is used, drawn here when the caller left it open. A side that the
    caller leaves to the picture is the default until `sized_by` has seen that.
    """

    model_config = ConfigDict(frozen=True)

    prompt: Prompt
    negative_prompt: NegativePrompt = None
    true_cfg_scale: Number
    width: Integer
    height: Integer
    num_inference_steps: Integer
    guidance: Number
    seed: Seed
    image_format: ImageFormat
    image: Picture | None = Field(default=None, repr=False)
    mask_image: Picture | None = Field(default=None, repr=False)
    strength: OptionalNumber
    loras: Loras = ()
    preview: Flag = False

    _task: Task = PrivateAttr()
    _open_sides: Sequence[str] = PrivateAttr(())

    def model_post_init(self, decided: dict[str, Any]) -> None:
        """Note what more the request says than its parameters."""
        self._task = decided["task"]
        if self.begins_with_picture:
            self._open_sides = decided["open_sides"]

    @property
    def task(self) -> Task:
        """What is to be made of it."""
        return self._task

    @property
    def begins_with_picture(self) -> bool:
        """Whether the picture is what the denoising begins with, as far as `strength` leaves it."""
        return self.image is not None and self.strength is not None

    @property
    def steps(self) -> int:
        """Denoising steps that run: the last ones alone where it begins with a picture."""
        if not self.begins_with_picture or self.strength is None:
            return self.num_inference_steps
        # As diffusers rounds it, but for what is too small for a step in its floats.
        run = self.num_inference_steps * self.strength
        skipped = int(self.num_inference_steps - run)
        return max(self.num_inference_steps - skipped, 1 if run else 0)

    @property
    def passes(self) -> int:
        """Passes of the transformer in a step: two with true classifier-free guidance.

        A scale of 1 cancels the negative prompt exactly, so it needn't be computed.
        """
        return 1 if self.negative_prompt is None or self.true_cfg_scale <= 1 else 2

    @classmethod
    def parse(cls, job_input: object, model: ServedModel) -> tuple[Self, list[str]]:
        """Check a job's `input` and name the keys in it that nobody reads.

        Raises:
            InvalidRequest: one sentence that lists every violation.
        """
        if not isinstance(job_input, Mapping):
            raise InvalidRequest(f"input must be an object with a prompt (got {shown(job_input)})")
        if len(job_input) > MAX_KEYS:
            raise InvalidRequest(f"input must have at most {MAX_KEYS} keys (got {len(job_input)})")
        given = {str(key): value for key, value in job_input.items() if value is not None}
        given = {key: given[key] for key in given if not task_choice.is_no_picture(key, given[key])}
        faults, unread = _judge_unknown_keys(given, model)
        sent_as: dict[str, str] = {}
        for alias, name in foreign.ALIASES.items():
            if alias in given and name not in given:
                given[name], sent_as[name] = given[alias], alias
        faults += sizes.expand(given, model)
        task, mismatch = task_choice.choose(given, model)
        faults += mismatch
        decided = {"task": task, "open_sides": [side for side in sizes.SIDES if side not in given]}
        try:
            request = cls.model_validate(
                {**model.parameters.defaults(), **given}, context=context(model) | decided
            )
        except ValidationError as error:
            faults = [*_sentences(error, sent_as), *faults]
        if faults:
            raise InvalidRequest(*faults)
        return request, unread

    def sized_by(self, width: int, height: int, model: ServedModel) -> Self:
        """Return it with the sides that its caller has left to the picture, which is this large.

        Raises:
            InvalidRequest: no size that can be asked for has the picture's shape.
        """
        if not self._open_sides:
            return self
        given = {side: getattr(self, side) for side in sizes.SIDES if side not in self._open_sides}
        found = sizes.of_picture((width, height), given, model)
        if isinstance(found, str):
            raise InvalidRequest(found)
        return self.model_copy(update=dict(zip(sizes.SIDES, found, strict=True)))


def _sentences(error: ValidationError, sent_as: Mapping[str, str]) -> Iterable[str]:
    for fault in error.errors(include_url=False, include_input=False):
        name, *inside = fault["loc"]
        place = sent_as.get(str(name), str(name))
        for part in inside:
            place += f"[{part}]" if isinstance(part, int) else f".{shown(part)[1:-1]}"
        yield f"{place} {RULES.get(fault['type'], fault['msg'])}"


def _judge_unknown_keys(
    given: Mapping[str, object], model: ServedModel
) -> tuple[list[str], list[str]]:
    with_picture = foreign.brings_picture(given)
    names = [*ImageRequest.model_fields, *foreign.ALIASES, *sizes.KEYS]
    faults, unread = [], []
    for key, value in given.items():
        if key in names:
            continue
        if fault := foreign.refusal(key, value, given, model, with_picture=with_picture):
            faults.append(fault)
        elif not foreign.is_known(key) and (meant := spelling.meant(key, names)):
            faults.append(f"'{shown(key)[1:-1]}' is not a parameter; did you mean '{meant}'?")
        else:
            unread.append(key)
    return faults, unread
