"""A job's `input`, checked against the served model's documented limits.

What is checked and what is forgiven follows what real clients send: null stands for the default,
some send an empty negative prompt, other names for a key, or keys of other models.
"""

from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from flux_worker.contract import foreign, sizes, spelling
from flux_worker.contract.catalog import ServedModel
from flux_worker.contract.loras import Lora, Loras
from flux_worker.contract.values import (
    Flag,
    ImageFormat,
    Integer,
    NegativePrompt,
    Number,
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

    The seed is the one that is used, drawn here when the caller left it open.
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
    loras: Loras = ()
    preview: Flag = False

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
        faults, unread = _judge_unknown_keys(given)
        sent_as: dict[str, str] = {}
        for alias, name in foreign.ALIASES.items():
            if alias in given and name not in given:
                given[name], sent_as[name] = given[alias], alias
        faults += sizes.expand(given, model)
        try:
            request = cls.model_validate(
                {**model.parameters.defaults(), **given}, context=context(model)
            )
        except ValidationError as error:
            faults = [*_sentences(error, sent_as), *faults]
        if faults:
            raise InvalidRequest(*faults)
        return request, unread


def _sentences(error: ValidationError, sent_as: Mapping[str, str]) -> Iterable[str]:
    for fault in error.errors(include_url=False, include_input=False):
        name, *inside = fault["loc"]
        place = sent_as.get(str(name), str(name))
        for part in inside:
            place += f"[{part}]" if isinstance(part, int) else f".{shown(part)[1:-1]}"
        yield f"{place} {RULES.get(fault['type'], fault['msg'])}"


def _judge_unknown_keys(given: Mapping[str, object]) -> tuple[list[str], list[str]]:
    names = [*ImageRequest.model_fields, *foreign.ALIASES, *sizes.KEYS]
    faults, unread = [], []
    for key, value in given.items():
        if key in names:
            continue
        if fault := foreign.refusal(key, value, given):
            faults.append(fault)
        elif not foreign.is_known(key) and (meant := spelling.meant(key, names)):
            faults.append(f"'{shown(key)[1:-1]}' is not a parameter; did you mean '{meant}'?")
        else:
            unread.append(key)
    return faults, unread
