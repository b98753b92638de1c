"""What a request refers to and the worker has to bring: files of the caller's."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from flux_worker.adapters.deltas import Weighed
from flux_worker.contract.catalog import PICTURES, ServedModel
from flux_worker.contract.loras import Lora
from flux_worker.contract.request import ImageRequest
from flux_worker.errors import InvalidRequest
from flux_worker.pictures import fitting
from flux_worker.pictures.decoder import Picture
from flux_worker.pictures.fitting import Mask, Pixels

One = TypeVar("One")
Other = TypeVar("Other")

PACKED = 2
"""Latents along a side of what sides are a multiple of."""


@dataclass(frozen=True)
class Inputs:
    """The files of one request, fetched and checked."""

    loras: tuple[Weighed, ...] = ()
    """What is merged into the model for it."""
    picture: Pixels | None = None
    """What the image is made of: of the image's size, or of Kontext's own for a reference."""
    mask: Mask | None = None
    """Of the same size: where the picture is painted anew."""
    latents_mask: Mask | None = None
    """The mask in whole latents: all that it touches."""


Fetch = Callable[[ImageRequest], Awaitable[tuple[ImageRequest, Inputs]]]
"""Brings what a request refers to, before it waits for the GPU; a stop cancels it.

The request comes back with its size, which its picture may have decided. It raises `InvalidRequest`
where something can't be had, or isn't what it should be."""


def fetching(
    bring_loras: Callable[[Sequence[Lora]], Awaitable[tuple[Weighed, ...]]],
    bring_pictures: Callable[[Mapping[str, str]], Awaitable[dict[str, Picture]]],
    model: ServedModel,
    multiple: int,
) -> Fetch:
    """Return what brings a request's files, for a model whose images have sides of a multiple."""

    async def fetch(request: ImageRequest) -> tuple[ImageRequest, Inputs]:
        named = {"image": request.image, "mask_image": request.mask_image}
        loras, pictures = await _both(
            bring_loras(request.loras),
            bring_pictures({name: address for name, address in named.items() if address}),
        )
        if not pictures:
            return request, Inputs(loras)
        return await asyncio.to_thread(_fitted, request, loras, pictures, model, multiple)

    return fetch


async def _both(one: Awaitable[One], other: Awaitable[Other]) -> tuple[One, Other]:
    """Wait for both, so that the faults of both are told."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    refusals = [each for each in (first, second) if isinstance(each, InvalidRequest)]
    if refusals:
        raise InvalidRequest(*(fault for each in refusals for fault in each.faults))
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, BaseException):
        raise second
    return first, second


def blank(request: ImageRequest, model: ServedModel, multiple: int) -> Inputs:
    """Return white pictures in place of those that a request names."""
    white = Picture(np.full((request.height, request.width, 3), 255, np.uint8), False)
    pictures = dict.fromkeys(PICTURES[request.task], white)
    return _fitted(request, (), pictures, model, multiple)[1] if pictures else Inputs()


def _fitted(
    request: ImageRequest,
    loras: tuple[Weighed, ...],
    pictures: Mapping[str, Picture],
    model: ServedModel,
    multiple: int,
) -> tuple[ImageRequest, Inputs]:
    image, mask = pictures["image"], pictures.get("mask_image")
    height, width, _ = image.pixels.shape
    request = request.sized_by(width, height, model)
    if not request.begins_with_picture:
        return request, Inputs(loras, fitting.reference(image.pixels, multiple))
    delivered = request.width, request.height
    made = fitting.whole(delivered, multiple)
    picture = fitting.widened(fitting.cover(image.pixels, delivered), made)
    if mask is None:
        return request, Inputs(loras, picture)
    white = fitting.widened(_mask(mask, image, delivered), made)
    return request, Inputs(loras, picture, white, fitting.blocks(white, multiple // PACKED))


def _mask(mask: Picture, image: Picture, delivered: fitting.Sides) -> Mask:
    sizes = [f"{each.pixels.shape[1]}x{each.pixels.shape[0]}" for each in (mask, image)]
    if not fitting.is_same_shape(mask.pixels, image.pixels):
        raise InvalidRequest(
            f"mask_image must have the shape of image (got {sizes[0]} for {sizes[1]})"
        )
    if mask.is_transparent:
        raise InvalidRequest(
            "mask_image must not be transparent: send white where it is painted anew, and black "
            "elsewhere"
        )
    white = fitting.mask(mask.pixels, delivered)
    if white.any():
        return white
    height, width, _ = mask.pixels.shape
    if fitting.mask(mask.pixels, (width, height)).any():
        raise InvalidRequest(
            f"mask_image has no white left at {delivered[0]}x{delivered[1]}, for which it is "
            "scaled and cropped with image: ask for another size, or paint more of it white"
        )
    raise InvalidRequest(
        "mask_image has no white, which is what is painted anew: are black and white reversed?"
    )
