"""Runs a request on the pipeline: text to embeddings, noise to latents, latents to pixels."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Event

import torch
from diffusers import DiffusionPipeline, FluxPipeline
from torch import Tensor

from flux_worker.adapters.deltas import Identity, Weighed, identity
from flux_worker.contract.catalog import ServedModel, Task
from flux_worker.contract.request import ImageRequest
from flux_worker.delivery.images import Pixels
from flux_worker.errors import DeviceUnusable, GenerationFailed, GenerationStopped
from flux_worker.generation import decoding, failures
from flux_worker.generation.inputs import PACKED, Inputs
from flux_worker.generation.report import Report
from flux_worker.generation.steps import StepCallback
from flux_worker.generation.tasks import WAYS
from flux_worker.logs import timed
from flux_worker.pictures import fitting
from flux_worker.pictures.fitting import Sides

EMBEDDINGS_KEPT = 16
"""Prompts whose embeddings are kept: 4 MB each at FLUX's width."""


def multiple_of(pipe: FluxPipeline) -> int:
    """Return what sides are generated in multiples of: a latent's pixels, packed two by two."""
    return int(pipe.vae_scale_factor) * PACKED


@dataclass(frozen=True)
class Generation:
    """A generated image."""

    pixels: Pixels
    dropped_tokens: int
    """Tokens of the prompt and the negative prompt beyond what the T5 encoder takes."""


@dataclass(frozen=True)
class Embedding:
    """A text as the transformer takes it."""

    tokens: Tensor
    """(1, tokens, T5's width)."""
    pooled: Tensor
    """(1, CLIP's width)."""
    dropped_tokens: int


class Generator:
    """Generates one image at a time."""

    def __init__(self, pipe: FluxPipeline, model: ServedModel) -> None:
        """Generate by a pipeline as the engine loads it, whose `loras` merges LoRAs into it."""
        self._pipe = pipe
        self._pipelines = cache(self._make_pipeline)
        self._max_tokens: int = min(model.max_sequence_length, pipe.tokenizer_2.model_max_length)
        self._device = torch.device(pipe._execution_device)
        # The same prompt with other seeds, and the one negative prompt of a whole application; each
        # as CLIP encodes it with the LoRAs that change it.
        self._encode = lru_cache(maxsize=EMBEDDINGS_KEPT)(self._encode_text)

    def generate(
        self,
        request: ImageRequest,
        inputs: Inputs,
        stop: Event,
        report: Report = lambda progress: None,
        seconds: dict[str, float] | None = None,
    ) -> Generation:
        """Make the image that is asked for, of exactly that size.

        Without a step to run, at a strength of 0, that is the picture.

        Args:
            request: what to make.
            inputs: what the request refers to.
            stop: set from another thread, ends the generation at the next step.
            report: called after each step.
            seconds: takes what the stages took, lora (where the weights are changed),
                text_encoding, denoising and decoding, the one that failed included; and what a
                step took, per_step.

        Raises:
            GenerationStopped: `stop` was set.
            GenerationFailed: there is no image; the worker can go on.
            DeviceUnusable: there is no image, and there will be none in this process.
        """
        try:
            with torch.inference_mode():
                return self._generate(
                    request, inputs, stop, report, {} if seconds is None else seconds
                )
        except RuntimeError as error:
            if failures.is_final(error, self._device):
                raise DeviceUnusable(
                    "The GPU failed while generating, and this worker is being replaced: send the "
                    "job again."
                ) from error
            if not failures.is_out_of_memory(error):
                raise
        # Outside the handler: there the traceback still holds the tensors to be freed.
        gc.collect()
        torch.cuda.empty_cache()
        raise GenerationFailed(
            f"The GPU ran out of memory while generating {request.width}x{request.height}: ask for "
            "a smaller image, or serve on a GPU with more memory."
        )

    def _generate(
        self,
        request: ImageRequest,
        inputs: Inputs,
        stop: Event,
        report: Report,
        seconds: dict[str, float],
    ) -> Generation:
        if inputs.picture is not None and not request.steps:
            return Generation(fitting.cropped(inputs.picture, (request.width, request.height)), 0)
        pipe = self._pipe
        sides = fitting.whole((request.width, request.height), multiple_of(pipe))
        if not pipe.loras.holds(inputs.loras):
            with self._timed(seconds, "lora"):
                pipe.loras.merge(inputs.loras, stop)
        with self._timed(seconds, "text_encoding"):
            embeddings, dropped_tokens = self._embeddings(request, inputs.loras)
        follow = StepCallback(self._device, stop, report, sides if request.preview else None)
        _raise_if_stopped(stop)
        with self._timed(seconds, "denoising"):
            latents = self._pipelines(request.task)(
                **embeddings,
                **WAYS[request.task].arguments(request, inputs, sides),
                output_type="latent",
                return_dict=False,
                callback_on_step_end=follow,
            )[0]
        seconds["per_step"] = follow.seconds_per_step()
        _raise_if_stopped(stop)
        with self._timed(seconds, "decoding"):
            image = decoding.decode(pipe, decoding.unpack(pipe, latents, *sides))
            pixels = decoding.to_pixels(_checked(image, sides, request))
        return Generation(_delivered(pixels, inputs, request), dropped_tokens)

    def _make_pipeline(self, task: Task) -> DiffusionPipeline:
        if task == "text-to-image":
            return self._pipe
        made: DiffusionPipeline = WAYS[task].pipeline(**self._pipe.components)
        made.set_progress_bar_config(disable=True)
        return made

    def _embeddings(
        self, request: ImageRequest, loras: Sequence[Weighed]
    ) -> tuple[dict[str, Tensor], int]:
        """Return the pipeline's arguments for the texts, and how many tokens were dropped."""
        clip = identity(each for each in loras if each[0].changes_clip)
        prompt = self._encode(request.prompt, clip)
        arguments = {"prompt_embeds": prompt.tokens, "pooled_prompt_embeds": prompt.pooled}
        if request.negative_prompt is None or request.passes == 1:
            return arguments, prompt.dropped_tokens
        negative = self._encode(request.negative_prompt, clip)
        arguments |= {
            "negative_prompt_embeds": negative.tokens,
            "negative_pooled_prompt_embeds": negative.pooled,
        }
        return arguments, prompt.dropped_tokens + negative.dropped_tokens

    def _encode_text(self, text: str, clip: Identity) -> Embedding:
        tokens, pooled, _ = self._pipe.encode_prompt(
            prompt=text, prompt_2=None, max_sequence_length=self._max_tokens
        )
        length = len(self._pipe.tokenizer_2(text).input_ids)
        return Embedding(tokens, pooled, max(0, length - self._max_tokens))

    @contextmanager
    def _timed(self, seconds: dict[str, float], stage: str) -> Iterator[None]:
        with timed(seconds, stage):
            yield
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)


def _raise_if_stopped(stop: Event) -> None:
    if stop.is_set():
        raise GenerationStopped


def _checked(image: Tensor, sides: Sides, request: ImageRequest) -> Tensor:
    """Return a decoded image, (1, 3, height, width), if it is one of these sides."""
    width, height = sides
    if tuple(image.shape) != (1, 3, height, width):
        raise GenerationFailed(
            f"The model made an image of shape {tuple(image.shape)} in place of "
            f"{(1, 3, height, width)}: no cost is reported; the weights and the worker don't match."
        )
    if not torch.isfinite(image).all():
        remedy = (
            "Lower the scales of its loras, which are too strong; if it stays, one is damaged"
            if any(lora.scale for lora in request.loras)
            else "Send the job again with another seed; if it stays, the weights are damaged"
        )
        raise GenerationFailed(
            f"The model made an image that isn't finite: no cost is reported. {remedy}."
        )
    return image


def _delivered(pixels: Pixels, inputs: Inputs, request: ImageRequest) -> Pixels:
    """Crop to what was asked for, around the centre; where a mask isn't white, give the picture."""
    asked = request.width, request.height
    pixels = fitting.cropped(pixels, asked)
    if inputs.picture is None or inputs.mask is None:
        return pixels
    mask = fitting.cropped(inputs.mask, asked)
    return fitting.composed(fitting.cropped(inputs.picture, asked), pixels, mask)
