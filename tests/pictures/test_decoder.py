"""What a caller's file becomes, or what is said of it: sound, odd and hostile ones."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from picture_files import (
    COLOURS,
    SIGNATURE,
    chunk,
    corners,
    encoded,
    exif,
    header,
    noise,
    png,
    segment,
    webp,
    with_chunk,
    with_segment,
)
from PIL import Image, ImageCms

from flux_worker.downloads.refusals import Refused, Unavailable
from flux_worker.pictures import decoder, parts

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)
LOSSLESS = {"lossless": True, "exact": True}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def cut(data, count):
    return data[:-count]


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def frames(form, count=2):
    first, *rest = (Image.new("RGB", (4, 4), (n * 60, 99, 0)) for n in range(count))
    return encoded(first, form, save_all=True, append_images=rest, duration=100)


def sized(width, height):
    """A JPEG whose header says another size than its pixels have."""
    data = bytearray(encoded(noise(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def crossed():
    """A WebP whose canvas is small, and whose picture isn't."""
    inner = encoded(noise(), "WEBP", lossless=True)[12:]
    size = int.from_bytes(inner[4:8], "little")
    return webp((b"VP8X", bytes(10)), (b"VP8L", inner[8 : 8 + size]))


def scans(count):
    data = encoded(noise(), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


PNG, JPEG, WEBP = (encoded(noise(), form) for form in ("PNG", "JPEG", "WEBP"))
PROGRESSIVE = encoded(noise(), "JPEG", progressive=True)
DAMAGED = "is a {} that is damaged, or of a rare form: save it anew"
INCOMPLETE = "is a {} that is incomplete: send the whole file"
SEND = "send a PNG, JPEG or WebP"
BOMB = zlib.compress(bytes(200 << 20))

REFUSED = {
    # broken off
    "PNG without its last byte": (cut(PNG, 1), INCOMPLETE.format("PNG")),
    "PNG without IEND": (cut(PNG, 12), INCOMPLETE.format("PNG")),
    "PNG cut in the middle": (cut(PNG, len(PNG) // 2), INCOMPLETE.format("PNG")),
    "PNG of a signature alone": (SIGNATURE, INCOMPLETE.format("PNG")),
    "PNG with too few rows": (
        png(header(4, 4, 8, 0), [b"abcd"] * 3),
        INCOMPLETE.format("PNG"),
    ),
    "PNG, interlaced, with too few rows": (
        png(header(4, 4, 8, 0, 1), [b"a", b"b", b"cd"]),
        INCOMPLETE.format("PNG"),
    ),
    "JPEG without its last byte": (cut(JPEG, 1), INCOMPLETE.format("JPEG")),
    "JPEG without EOI": (cut(JPEG, 2), INCOMPLETE.format("JPEG")),
    "JPEG cut in the middle": (cut(JPEG, len(JPEG) // 2), INCOMPLETE.format("JPEG")),
    "JPEG, progressive, cut between scans": (
        PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")],
        INCOMPLETE.format("JPEG"),
    ),
    "JPEG cut in its header": (JPEG[:100], INCOMPLETE.format("JPEG")),
    "WebP without its last byte": (cut(WEBP, 1), INCOMPLETE.format("WebP")),
    "WebP cut in the middle": (cut(WEBP, len(WEBP) // 2), INCOMPLETE.format("WebP")),
    "WebP cut between its chunks": (
        webp((b"VP8L", encoded(noise(), "WEBP", lossless=True)[20:]), (b"EXIF", b"abcd"))[:-12],
        INCOMPLETE.format("WebP"),
    ),
    "WebP whose chunk is longer than the file": (
        b"RIFF" + struct.pack("<I", 16) + b"WEBPVP8L" + struct.pack("<I", 10**6) + b"1234",
        INCOMPLETE.format("WebP"),
    ),
    # damaged
    "PNG with a wrong checksum of its header": (flipped(PNG, 29), DAMAGED.format("PNG")),
    "PNG with a wrong checksum of its pixels": (flipped(PNG, -13), DAMAGED.format("PNG")),
    "PNG with a flipped byte": (flipped(PNG, len(PNG) // 2), DAMAGED.format("PNG")),
    "PNG whose pixels aren't deflated": (
        SIGNATURE + header(1, 1, 8, 0) + chunk(b"IDAT", b"abc") + chunk(b"IEND"),
        DAMAGED.format("PNG"),
    ),
    "PNG without pixels": (
        SIGNATURE + header(1, 1, 8, 0) + chunk(b"IEND"),
        DAMAGED.format("PNG"),
    ),
    "PNG without a header": (
        SIGNATURE + chunk(b"IDAT", zlib.compress(b"\0a")) + chunk(b"IEND"),
        DAMAGED.format("PNG"),
    ),
    "PNG with a short header": (
        SIGNATURE + chunk(b"IHDR", b"abc") + chunk(b"IDAT", b"x") + chunk(b"IEND"),
        DAMAGED.format("PNG"),
    ),
    "PNG of no width": (png(header(0, 1, 8, 0)), DAMAGED.format("PNG")),
    "PNG of 3 bits": (png(header(1, 1, 3, 0), [b"a"]), DAMAGED.format("PNG")),
    "PNG of colour type 5": (png(header(1, 1, 8, 5), [b"a"]), DAMAGED.format("PNG")),
    "PNG with a filter that there isn't": (
        SIGNATURE + header(1, 1, 8, 0) + chunk(b"IDAT", zlib.compress(b"\x09a")) + chunk(b"IEND"),
        DAMAGED.format("PNG"),
    ),
    "JPEG of no height": (sized(64, 0), DAMAGED.format("JPEG")),
    "JPEG without a frame": (b"\xff\xd8\xff\xd9", DAMAGED.format("JPEG")),
    "JPEG of two frames": (
        with_segment(JPEG, 0xC0, b"\x08\0\x01\0\x01\x01\x01\x11\0"),
        DAMAGED.format("JPEG"),
    ),
    "JPEG without tables": (
        b"\xff\xd8"
        + segment(0xC0, b"\x08\0\x01\0\x01\x01\x01\x11\0")
        + segment(0xDA, b"\x01\x01\0\0\x3f\0")
        + b"abc\xff\xd9",
        DAMAGED.format("JPEG"),
    ),
    "JPEG of 12 bits": (
        JPEG.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
        DAMAGED.format("JPEG"),
    ),
    "WebP without a picture": (webp((b"EXIF", b"abc")), DAMAGED.format("WebP")),
    "WebP of noise": (webp((b"VP8 ", b"\x9d\x01\x2a" * 20)), DAMAGED.format("WebP")),
    "WebP with a small canvas for a large picture": (crossed(), DAMAGED.format("WebP")),
    # bombs
    "PNG that says 100,000x100,000": (
        png(header(100_000, 100_000, 8, 2)),
        "has 100000x100000 pixels, more than 50 megapixels: send it smaller",
    ),
    "PNG of a little more than 50 megapixels": (
        png(header(10_000, 5_001, 1, 0)),
        "has 10000x5001 pixels, more than 50 megapixels: send it smaller",
    ),
    "JPEG that says 65,500x65,500": (
        sized(65_500, 65_500),
        "has 65500x65500 pixels, more than 50 megapixels: send it smaller",
    ),
    "WebP that says 16,384x16,384": (
        webp((b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(20))),
        "has 16384x16384 pixels, more than 50 megapixels: send it smaller",
    ),
    "WebP with a canvas of 16 million a side": (
        webp((b"VP8X", bytes(4) + b"\xff" * 6)),
        "has 16777216x16777216 pixels, more than 50 megapixels: send it smaller",
    ),
    "JPEG of 400 scans": (scans(400), "is a JPEG of more than 100 scans: save it anew"),
    "JPEG of a million comments": (
        b"\xff\xd8" + segment(0xFE, b"") * 10**6,
        INCOMPLETE.format("JPEG"),
    ),
    "PNG of 100,000 chunks": (
        SIGNATURE + header(1, 1, 8, 0) + chunk(b"IDAT") * 10**5 + chunk(b"IEND"),
        INCOMPLETE.format("PNG"),
    ),
    # moving
    "APNG": (frames("PNG", 3), "is an animation of 3 frames: send one of them"),
    "WebP, animated": (frames("WEBP", 4), "is an animation of 4 frames: send one of them"),
    # something else
    "GIF": (encoded(corners(), "GIF"), f"is a GIF: {SEND}"),
    "BMP": (encoded(corners(), "BMP"), f"is a BMP: {SEND}"),
    "TIFF": (encoded(corners(), "TIFF"), f"is a TIFF, or a camera's raw picture: {SEND}"),
    "AVIF": (encoded(noise(), "AVIF"), f"is an AVIF: {SEND}"),
    "icon": (encoded(corners(16), "ICO"), f"is an icon: {SEND}"),
    "JPEG 2000": (encoded(corners(16), "JPEG2000"), f"is a JPEG 2000: {SEND}"),
    "PDF": (encoded(corners(), "PDF"), f"is a PDF: {SEND}"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", f"is a HEIC: {SEND}"),
    "MP4": (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41", f"is a video: {SEND}"),
    "WebM": (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01", f"is a video: {SEND}"),
    "JPEG XL": (b"\xff\x0a" + bytes(20), f"is a JPEG XL: {SEND}"),
    "Photoshop": (b"8BPS\0\x01" + bytes(20), f"is a Photoshop file: {SEND}"),
    "ZIP": (b"PK\x03\x04" + bytes(20), f"is a ZIP archive: {SEND}"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', f"is an SVG: {SEND}"),
    "SVG with a prolog": (
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg/>',
        f"is an SVG: {SEND}",
    ),
    "web page": (b"\n<!DOCTYPE html><html><svg>", f"is a web page: {SEND}"),
    "error of a storage, in XML": (
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        f"is a web page: {SEND}",
    ),
    "JSON": (b'{"error": "not found"}', f"is no picture that is known here: {SEND}"),
    "RIFF that is a sound": (
        b"RIFF\x24\0\0\0WAVEfmt ",
        f"is no picture that is known here: {SEND}",
    ),
    "nothing": (b"", f"is no picture that is known here: {SEND}"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_sound_picture_is_refused_by_its_cause(name):
    data, said = REFUSED[name]
    with pytest.raises(Refused) as refusal:
        decoder.decode(data)
    assert str(refusal.value) == said


def grey16(*values):
    return png(header(len(values), 1, 16, 0), [struct.pack(f">{len(values)}H", *values)])


def transparent(data, *values):
    return with_chunk(data, b"tRNS", struct.pack(f">{len(values)}H", *values))


def palette(opacity=b""):
    extra = [chunk(b"tRNS", opacity)] if opacity else []
    colours = chunk(b"PLTE", bytes([*RED, 0, 255, 0]))
    return png(header(2, 1, 8, 3), [b"\0\1"], colours, *extra)


def phone():
    """Two pictures in one file, the second of which is a thumbnail."""
    return encoded(
        corners(16), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))], quality=95
    )


def jpeg(image, **options):
    return encoded(image, "JPEG", quality=100, subsampling=0, **options)


SOUND = {
    "PNG of one pixel": (encoded(corners().crop((0, 0, 1, 1))), [RED]),
    "PNG, grey, 1 bit": (png(header(2, 1, 1, 0), [b"\x40"]), [BLACK, WHITE]),
    "PNG, grey, 2 bits": (
        png(header(4, 1, 2, 0), [b"\x1b"]),
        [(n,) * 3 for n in (0, 85, 170, 255)],
    ),
    "PNG, grey, 4 bits": (png(header(2, 1, 4, 0), [b"\x2f"]), [(34,) * 3, WHITE]),
    "PNG, grey, 16 bits": (
        grey16(0, 257, 0x8000, 0xFEFE, 0xFFFF),
        [(n,) * 3 for n in (0, 1, 128, 254, 255)],
    ),
    "PNG, RGB, 16 bits": (
        png(header(1, 1, 16, 2), [struct.pack(">3H", 0x1200, 0xFFFF, 0)]),
        [(0x12, 255, 0)],
    ),
    "PNG, RGBA, 16 bits": (
        png(header(2, 1, 16, 6), [struct.pack(">8H", *(0xFFFF, 0, 0, 0xFFFF), *(0, 0, 0, 0))]),
        [RED, WHITE],
    ),
    "PNG, grey and alpha, 16 bits": (
        png(header(2, 1, 16, 4), [struct.pack(">4H", 0, 0xFFFF, 0, 0)]),
        [BLACK, WHITE],
    ),
    "PNG, grey and alpha": (png(header(2, 1, 8, 4), [b"\0\xff\0\0"]), [BLACK, WHITE]),
    "PNG, half transparent": (encoded(Image.new("RGBA", (1, 1), (0, 0, 0, 128))), [(127,) * 3]),
    "PNG, palette": (palette(), [RED, (0, 255, 0)]),
    "PNG, palette, one of it transparent": (palette(b"\0"), [WHITE, (0, 255, 0)]),
    "PNG, palette, half transparent": (palette(b"\xff\x80"), [RED, (127, 255, 127)]),
    "PNG, interlaced": (
        png(header(2, 2, 8, 0, 1), [b"\x01", b"\x02", b"\x03\x04"]),
        [(n,) * 3 for n in (1, 2, 3, 4)],
    ),
    "PNG, one grey transparent, 1 bit": (
        transparent(png(header(2, 1, 1, 0), [b"\x40"]), 0),
        [WHITE, WHITE],
    ),
    "PNG, one grey transparent, 4 bits": (
        transparent(png(header(2, 1, 4, 0), [b"\x2f"]), 2),
        [WHITE, WHITE],
    ),
    "PNG, one grey transparent, 16 bits": (
        transparent(grey16(0x8000, 0x8001), 0x8000),
        [WHITE, (128,) * 3],
    ),
    "PNG, one RGB transparent": (
        transparent(encoded(corners()), *RED),
        [WHITE, *COLOURS[1:]],
    ),
    "PNG, one RGB transparent, 16 bits": (
        transparent(
            png(header(2, 1, 16, 2), [struct.pack(">6H", *(9000, 0, 0), *(0, 0, 0))]), 9000, 0, 0
        ),
        [WHITE, BLACK],
    ),
    "PNG with a bomb for a profile": (
        with_chunk(encoded(corners()), b"iCCP", b"x\0\0" + BOMB),
        COLOURS,
    ),
    "PNG with a profile that isn't deflated": (
        with_chunk(encoded(corners()), b"iCCP", b"x\0\0abc"),
        COLOURS,
    ),
    "PNG with a profile of nonsense": (
        encoded(corners(), icc_profile=b"nonsense" * 99),
        COLOURS,
    ),
    "PNG with half a profile": (encoded(corners(), icc_profile=SRGB[:300]), COLOURS),
    "PNG with bombs for texts": (
        with_chunk(
            with_chunk(encoded(corners()), b"zTXt", b"x\0\0" + BOMB),
            b"iTXt",
            b"x\0\1\0\0\0" + BOMB,
        ),
        COLOURS,
    ),
    "PNG with a wrong checksum of a text": (
        encoded(corners())[:33] + b"\0\0\0\3tEXtx\0yabcd" + encoded(corners())[33:],
        COLOURS,
    ),
    "PNG with something after its end": (encoded(corners()) + b"x" * 1000, COLOURS),
    "APNG of one frame": (
        with_chunk(encoded(corners()), b"acTL", struct.pack(">II", 1, 0)),
        COLOURS,
    ),
    "PNG with Exif of nonsense": (encoded(corners(), exif=b"MM\0*\xff\xff\xff\xff"), COLOURS),
    "PNG with Exif that points into itself": (
        with_chunk(encoded(corners()), b"eXIf", b"II*\0\0\0\0\0" * 9),
        COLOURS,
    ),
    "JPEG with 300 applications' segments": (
        jpeg(corners(16))[:2] + segment(0xE5, bytes(60_000)) * 300 + jpeg(corners(16))[2:],
        None,
    ),
    "JPEG with a film after its end": (jpeg(corners(16)) + b"\0\0\0\x18ftyp" + PNG * 9, None),
    "JPEG of a phone, with a second picture": (phone(), None),
    "JPEG with bytes to fill up": (
        jpeg(corners(16)).replace(b"\xff\xda", b"\xff\xff\xff\xda"),
        None,
    ),
    "JPEG, progressive": (jpeg(corners(16), progressive=True), None),
    "WebP, lossless": (encoded(corners(), "WEBP", **LOSSLESS), COLOURS),
    "WebP, lossy": (encoded(corners(16), "WEBP", quality=95), None),
    "WebP with something after its end": (
        encoded(corners(), "WEBP", **LOSSLESS) + b"x" * 99,
        COLOURS,
    ),
    "WebP with alpha": (
        encoded(Image.new("RGBA", (1, 1), (0, 0, 0, 0)), "WEBP", **LOSSLESS),
        [WHITE],
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_odd_but_sound_is_seen_as_it_looks(name):
    data, colours = SOUND[name]
    pixels = decoder.decode(data).pixels
    if colours is None:  # lossy: squares of 16 pixels
        assert np.abs(pixels[8::16, 8::16].reshape(-1, 3).astype(int) - COLOURS).max() <= 4
    else:
        assert pixels.reshape(-1, 3).tolist() == [list(colour) for colour in colours]


def test_pixels_are_rows_of_columns_of_rgb():
    pixels = decoder.decode(encoded(corners())).pixels
    assert (pixels.shape, pixels.dtype) == ((2, 3, 3), np.uint8)


@pytest.mark.parametrize(
    ("data", "is_transparent"),
    [
        (encoded(Image.new("RGBA", (2, 2), (1, 2, 3, 254))), True),
        (encoded(Image.new("RGBA", (2, 2), (1, 2, 3, 255))), False),
        (palette(b"\0"), True),
        (palette(b"\xff"), False),
        (transparent(encoded(corners()), *RED), True),
        (transparent(encoded(corners()), 1, 2, 3), False),
        (encoded(corners()), False),
        (JPEG, False),
    ],
)
def test_it_is_told_whether_any_of_it_was_transparent(data, is_transparent):
    assert decoder.decode(data).is_transparent == is_transparent


STORED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""What a camera writes that was held so, by Exif's orientation."""


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_turned_upright(form, orientation, order):
    """Each of the eight ways to hold a camera shows the same picture."""
    upright = np.asarray(corners(16))
    stored = STORED[orientation](upright)
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": LOSSLESS}.get(form, {})
    mark = b"" if form == "PNG" else b"Exif\0\0"
    data = encoded(
        Image.fromarray(np.ascontiguousarray(stored)),
        form,
        exif=mark + exif(orientation, order),
        **options,
    )
    pixels = decoder.decode(data).pixels
    assert pixels.shape == upright.shape
    assert np.abs(pixels[8::16, 8::16].astype(int) - upright[8::16, 8::16]).max() <= 4


def test_transparency_is_turned_with_the_picture():
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    data = with_chunk(encoded(image), b"eXIf", exif(3))
    assert decoder.decode(data).pixels[0, :, 0].tolist() == [0, 255]


def test_memory_that_is_missing_is_no_fault_of_the_file(monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(Unavailable, match="lack of memory; send the job again"):
        decoder.decode(png(header(2, 1, 1, 0), [b"\x40"]))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_no_file_makes_it_fail_in_another_way(form):
    """Thousands of damaged files: each is decoded or refused."""
    whole = encoded(
        corners(4), form, exif=(b"" if form == "PNG" else b"Exif\0\0") + exif(6), icc_profile=SRGB
    )
    chance = np.random.default_rng(0)
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(chance.integers(1, 6)):
            data[chance.integers(len(data))] = chance.integers(256)
        if form == "PNG" and chance.integers(2):
            data = bytearray(mended(bytes(data)))
        with suppress(Refused):
            decoder.decode(bytes(data))


def mended(data):
    """A PNG with right checksums, so that what is wrong lies deeper."""
    out, at = io.BytesIO(), 8
    out.write(data[:8])
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        out.write(chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return out.getvalue()


def test_fifty_megapixels_are_taken():
    row = bytes(10_000 // 8)
    data = png(header(10_000, 5_000, 1, 0), [row] * 5_000)
    assert decoder.decode(data).pixels.shape == (5_000, 10_000, 3)
    assert parts.MOST_PIXELS == 10_000 * 5_000
