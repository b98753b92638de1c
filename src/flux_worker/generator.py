"""Runs a request on the pipeline: text to embeddings, noise to latents, latents to pixels."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Event
from typing import Any

import torch
from diffusers import FluxPipeline

from flux_worker import decoding
from flux_worker.catalog import ServedModel
from flux_worker.errors import DeviceUnusable, GenerationFailed, GenerationStopped
from flux_worker.images import Pixels
from flux_worker.request import ImageRequest
from flux_worker.steps import Report, Steps

EMBEDDINGS_KEPT = 16
"""Prompts whose embeddings are kept: 4 MB each at FLUX's width."""


@dataclass
class Generation:
    """A generated image and what it took."""

    pixels: Pixels
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage: text_encoding, denoising, decoding; and what one step took, per_step."""
    dropped_tokens: int = 0
    """Tokens of the prompt and the negative prompt beyond what the T5 encoder takes."""


class Generator:
    """Generates one image at a time."""

    def __init__(self, pipe: FluxPipeline, model: ServedModel) -> None:
        self._pipe = pipe
        self._max_tokens: int = min(model.max_sequence_length, pipe.tokenizer_2.model_max_length)
        self._device = torch.device(pipe._execution_device)
        # The same prompt with other seeds, and the one negative prompt of a whole application.
        self._encode = lru_cache(maxsize=EMBEDDINGS_KEPT)(self._encode_text)

    def generate(
        self, request: ImageRequest, stop: Event, report: Report = lambda progress: None
    ) -> Generation:
        """Make the image that is asked for, of exactly that size.

        Args:
            request: what to make.
            stop: set from another thread, ends the generation at the next step.
            report: called after each step, on this thread; it must not block.

        Raises:
            GenerationStopped: `stop` was set.
            GenerationFailed: there is no image; the worker can go on.
            DeviceUnusable: there is no image, and there will be none in this process.
        """
        try:
            with torch.no_grad():
                return self._generate(request, stop, report)
        except torch.OutOfMemoryError:
            size = f"{request.width}x{request.height}"
        except RuntimeError as error:
            if self._is_unusable(error):
                raise DeviceUnusable(
                    "The GPU failed while generating, and this worker is being replaced: send the "
                    "job again."
                ) from error
            raise
        # Outside the handler: there the traceback still holds the tensors to be freed.
        gc.collect()
        torch.cuda.empty_cache()
        raise GenerationFailed(
            f"The GPU ran out of memory while generating {size}: ask for a smaller image, or serve "
            "on a GPU with more memory."
        )

    def _generate(self, request: ImageRequest, stop: Event, report: Report) -> Generation:
        pipe, seconds = self._pipe, dict[str, float]()
        multiple = pipe.vae_scale_factor * 2  # latents are packed in patches of 2 by 2
        width, height = (
            -(-side // multiple) * multiple for side in (request.width, request.height)
        )
        # A scale of 1 cancels the negative prompt exactly, so it needn't be computed either.
        negative_prompt = request.negative_prompt if request.true_cfg_scale > 1 else None
        prompts = [text for text in (request.prompt, negative_prompt) if text is not None]

        with self._timed(seconds, "text_encoding"):
            embeddings = [self._encode(text) for text in prompts]
        inputs: dict[str, Any] = dict(
            zip(("prompt_embeds", "pooled_prompt_embeds"), embeddings[0], strict=True)
        )
        if negative_prompt is not None:
            inputs |= zip(
                ("negative_prompt_embeds", "negative_pooled_prompt_embeds"),
                embeddings[1],
                strict=True,
            )

        steps = request.num_inference_steps
        preview = (width, height) if request.preview else None
        follow = Steps(steps, self._device, stop, report, preview)
        _unless(stop)
        with self._timed(seconds, "denoising"):
            latents = pipe(
                **inputs,
                true_cfg_scale=request.true_cfg_scale,
                width=width,
                height=height,
                num_inference_steps=steps,
                guidance_scale=request.guidance,
                # Drawn on the CPU: a seed then means the same noise on every GPU.
                generator=torch.Generator("cpu").manual_seed(request.seed),
                output_type="latent",
                return_dict=False,
                callback_on_step_end=follow,
            )[0]
        seconds["per_step"] = follow.seconds_per_step()
        _unless(stop)
        with self._timed(seconds, "decoding"):
            image = decoding.decode(pipe, decoding.unpack(pipe, latents, width, height))
            pixels = _delivered(image, width, height, request)
        return Generation(pixels, seconds, sum(self._dropped_tokens(text) for text in prompts))

    def _encode_text(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        prompt_embeds, pooled_prompt_embeds, _ = self._pipe.encode_prompt(
            prompt=text, prompt_2=None, max_sequence_length=self._max_tokens
        )
        return prompt_embeds, pooled_prompt_embeds

    def _dropped_tokens(self, text: str) -> int:
        return max(0, len(self._pipe.tokenizer_2(text).input_ids) - self._max_tokens)

    @contextmanager
    def _timed(self, seconds: dict[str, float], stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        seconds[stage] = time.perf_counter() - begin

    def _is_unusable(self, error: RuntimeError) -> bool:
        if isinstance(error, torch.AcceleratorError):
            return True
        if self._device.type != "cuda":
            return False
        try:
            torch.cuda.synchronize(self._device)
        except RuntimeError:
            return True
        return False


def _unless(stop: Event) -> None:
    if stop.is_set():
        raise GenerationStopped


def _delivered(image: torch.Tensor, width: int, height: int, request: ImageRequest) -> Pixels:
    """Check a decoded image (1, 3, height, width) and crop it around the centre."""
    if tuple(image.shape) != (1, 3, height, width):
        raise GenerationFailed(
            f"The model made an image of shape {tuple(image.shape)} in place of "
            f"{(1, 3, height, width)}: nothing is charged; the weights and the worker don't match."
        )
    if not torch.isfinite(image).all():
        raise GenerationFailed(
            "The model made an image that isn't finite: nothing is charged. Send the job again "
            "with another seed; if it stays, the weights are damaged."
        )
    left, top = (width - request.width) // 2, (height - request.height) // 2
    cropped = image[..., top : top + request.height, left : left + request.width]
    return decoding.to_pixels(cropped)
