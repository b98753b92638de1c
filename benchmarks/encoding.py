"""Image encoding at 1024×1024: the worker's encoders beside Pillow's.

The pictures stand for what the encoders will meet: `natural` has the 1/f spectrum of photographs
(D. J. Field, 1987), `noise` can't be compressed at all.
"""

import io
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from benchmarks.table import markdown
from flux_worker.delivery.images import Pixels, encode

SIDE = 1024
RUNS = 15


def natural(rng: np.random.Generator) -> Pixels:
    """Draw a picture with the spectrum of a photograph."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(rng.standard_normal((3, SIDE, SIDE))) / frequency
    waves = np.fft.ifft2(spectrum).real
    low, high = waves.min(), waves.max()
    return np.ascontiguousarray(((waves - low) / (high - low) * 255).transpose(1, 2, 0)).astype(
        np.uint8
    )


def pillow_png(pixels: Pixels, level: int) -> bytes:
    """Encode as PNG with Pillow, at one of zlib's levels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=level)
    return file.getvalue()


def median_ms(action: Callable[[], bytes]) -> tuple[float, int]:
    """Return the median time of an encoder in milliseconds, and its file's size in bytes."""
    size = len(action())
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3, size


def main() -> None:
    """Print a Markdown table."""
    rng = np.random.default_rng(0)
    pictures = {
        "natural": natural(rng),
        "noise": rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
    }
    encoders: dict[str, Callable[[Pixels], bytes]] = {
        "worker, PNG": lambda pixels: encode(pixels, "png").data,
        "Pillow, PNG level 1": lambda pixels: pillow_png(pixels, 1),
        "Pillow, PNG level 6 (its default)": lambda pixels: pillow_png(pixels, 6),
        "worker, JPEG": lambda pixels: encode(pixels, "jpeg").data,
    }
    rows = []
    for picture, pixels in pictures.items():
        ours = 0.0
        for name, encoder in encoders.items():
            ms, size = median_ms(partial(encoder, pixels))
            ours = ours or ms
            times = (f"{ms:.1f}", f"{ms / ours:.1f}", f"{size / 1e6:.2f}")
            rows.append((f"{picture}: {name}", *times))
    print(f"Encoding {SIDE}x{SIDE}, median of {RUNS} runs:\n")
    print(markdown(("encoder", "ms", "× worker's PNG", "MB"), rows))


if __name__ == "__main__":
    main()
