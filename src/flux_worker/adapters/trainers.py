"""What trainers write beside the numbers: what each tensor is, how strong they are, and the words
that call for it.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Metadata = Mapping[str, str]
"""What a file's header says of it."""

FACTOR = re.compile(
    r"(?P<module>.+?)\."
    r"(?:"
    r"(?:lora(?:_linear_layer)?[._])?(?P<half>A|B|down|up)(?:\.[\w-]+)?\.weight"
    r"|(?P<other>alpha|lokr_\w+|hada_\w+|oft_\w+|dora_scale|diff|diff_b|lora_\w+(?:\.\w+)*)"
    r")"
)
HALVES = {"A": "down", "B": "up"}

DIFFUSERS_METADATA = "lora_adapter_metadata"
"""Where diffusers' `save_lora_weights` and `save_lora_adapter` put PEFT's configuration in JSON."""

MAX_NAME = 300
"""Far more than any layer's; a longer one takes the pattern above too long."""
MAX_TRIGGERS = 5
MAX_TRIGGER_CHARACTERS = 100


@dataclass(frozen=True)
class Scales:
    """How PEFT scales the layers of a file that has no alphas of its own."""

    alpha: float | None = None
    """None: as the rank, so that nothing is scaled."""
    of_layers: Mapping[str, float] = field(default_factory=dict)
    """Alphas of layers whose names are these, or end so."""
    rank_stabilised: bool = False
    """By the rank's root: https://arxiv.org/abs/2312.03732."""
    rank: float = 1.0
    """Of layers whose factors don't show it: PEFT scales these, too."""

    def of(self, module: str, rank: float, alpha: float | None) -> float:
        """Return what the product of a layer's factors is multiplied with."""
        if alpha is None:
            ending = (v for k, v in self.of_layers.items() if f".{module}".endswith(f".{k}"))
            alpha = next(ending, self.alpha)
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)


def split(name: str) -> tuple[str, str]:
    """Split a tensor's name into its layer's and what it is there, such as down, up or alpha.

    A name of no known form is a layer's by itself.
    """
    found = FACTOR.fullmatch(name) if len(name) <= MAX_NAME else None
    if found is None:
        return name, ""
    half = found["half"]
    return found["module"], HALVES.get(half, half) if half else found["other"]


def metadata(content: bytes) -> Metadata:
    """Return what the header of a sound file says of it."""
    length = int.from_bytes(content[:8], "little")
    said = json.loads(content[8 : 8 + length]).get("__metadata__")
    return said if isinstance(said, dict) else {}


def scales(said: Metadata, component: str) -> Scales:
    """Return the scales that the metadata names for a component, such as text_encoder.

    Raises:
        ValueError: they can't be followed.
    """
    prefix = f"{component}."
    try:
        given: Any = json.loads(said.get(DIFFUSERS_METADATA, "{}"))
        # A model that is saved by itself, not as part of a pipeline, has no prefix.
        if any("." in key for key in given):
            given = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
        alpha = given.get("lora_alpha", given.get("alpha"))  # the latter is LoKr's
        rank = _finite(given.get("r", 1))
        if rank <= 0:
            raise ValueError
        of_layers = given.get("alpha_pattern") or {}
        # They may be regular expressions, which a stranger's file could make run for ever.
        if not all(re.fullmatch(r"[\w.]+", name) for name in of_layers):
            raise ValueError
        return Scales(
            None if alpha is None else _finite(alpha),
            {name: _finite(value) for name, value in of_layers.items()},
            bool(given.get("use_rslora")),
            rank,
        )
    except (AttributeError, OverflowError, RecursionError, TypeError, ValueError):
        raise ValueError(DIFFUSERS_METADATA) from None


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def triggers(said: Metadata) -> tuple[str, ...]:
    """Return the words that a prompt must have, where the metadata names some."""
    words = [said.get(key) for key in ("modelspec.trigger_phrase", "trigger_word", "trigger_words")]
    found = [word for word in words if word] or _only_tags(said.get("ss_tag_frequency", "{}"))
    plain = (word.strip() for word in found if word.isprintable())
    short = (word for word in plain if 0 < len(word) <= MAX_TRIGGER_CHARACTERS)
    return tuple(dict.fromkeys(short))[:MAX_TRIGGERS]


def _only_tags(text: str) -> list[str]:
    """Return the tag of each of the training's folders that has but one, as ai-toolkit writes it.

    Several are the captions of the pictures, of which none can be told from the others.
    """
    try:
        folders = json.loads(text)
        return [str(*tags) for tags in folders.values() if len(tags) == 1]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return []
