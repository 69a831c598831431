"""Decoding to uint8 [height, width, channels], and the errors for images that cannot be decoded."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from resprobe._pictures.images import Encoded, Pixels
from resprobe_server.errors import InvalidRequest
from resprobe_server.images.decode import decode
from resprobe_server.images.format import Format

WANTED = Format(6, 4, 3)
LIMIT = 10_000


def picture(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (4, 6)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


def pixels(height: int, width: int, channels: int) -> Pixels:
    noise = np.random.default_rng(0).integers(0, 256, height * width * channels, dtype=np.uint8)
    return Pixels(height, width, channels, noise.tobytes(), "images[0]")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_lossless_files_come_through_unchanged(kind: str) -> None:
    expected = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    assert np.array_equal(decode(Encoded(picture(kind), "images[0]"), WANTED, LIMIT).pixels, expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (4, 6), (90, 33)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_other_sizes_are_resized(kind: str, size: tuple[int, int], channels: int) -> None:
    found = decode(Encoded(picture(kind, size=size), "images[0]"), Format(6, 4, channels), LIMIT).pixels
    assert (found.shape, str(found.dtype)) == ((6, 4, channels), "uint8")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_colour_mode_is_converted(mode: str) -> None:
    image = Image.new(mode, (4, 6))
    file = io.BytesIO()
    image.save(file, "PNG")
    for channels in (1, 3):
        found = decode(Encoded(file.getvalue(), "images[0]"), Format(6, 4, channels), LIMIT)
        assert found.pixels.shape == (6, 4, channels)


def test_grey_is_spread_and_colour_is_weighed() -> None:
    grey = decode(Pixels(1, 1, 1, bytes([70]), "images[0]"), Format(1, 1, 3), LIMIT)
    assert grey.pixels.tolist() == [[[70, 70, 70]]]
    colour = decode(Pixels(1, 1, 3, bytes([255, 0, 0]), "images[0]"), Format(1, 1, 1), LIMIT)
    assert colour.pixels.tolist() == [[[76]]]  # ITU-R 601: 0.299 of red


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims to be large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


NO_PICTURE = "are not a JPEG, PNG or WebP file"
REFUSED = {
    "text": (Encoded(b"hello", "images[3]"), rf"images\[3\] is 5 bytes that {NO_PICTURE}"),
    "empty": (Encoded(b"", "images[3]"), r"images\[3\] is empty; expected a JPEG, PNG or WebP file"),
    "gif": (Encoded(picture("GIF"), "images[3]"), NO_PICTURE),
    "cut jpeg": (Encoded(picture("JPEG", size=(40, 40))[:-200], "images[3]"), r"images\[3\] is damaged or cut short"),
    "cut png": (Encoded(picture()[:-30], "images[3]"), r"images\[3\] is damaged or cut short"),
    "header": (Encoded(picture()[:20], "images[3]"), r"images\[3\] (cannot be opened|is \d+ bytes)"),
    "large": (Encoded(bomb(101, 100), "images[3]"), r"has 101×100 pixels; at most 0.01 megapixels are decoded here"),
    "bomb": (Encoded(bomb(30000, 30000), "images[3]"), r"images\[3\] (has 30000×30000|cannot be opened: Image size)"),
    "bytes": (Pixels(2, 2, 3, bytes(11), "images[3]"), r"has 11 bytes; its shape \[2, 2, 3\] needs 12"),
    "channels": (Pixels(2, 2, 4, bytes(16), "images[3]"), r"shape \[2, 2, 4\]; expected \[height, width, 1 or 3\]"),
    "zero": (Pixels(0, 2, 3, b"", "images[3]"), r"has shape \[0, 2, 3\]"),
    "negative": (Pixels(-1, -2, 3, bytes(6), "images[3]"), r"has shape \[-1, -2, 3\]"),
}


@pytest.mark.parametrize(("image", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_used_is_said(image: Encoded | Pixels, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        decode(image, WANTED, LIMIT)
    assert caught.value.field == "images[3]"


@given(st.binary(max_size=300) | st.integers(0, 200).map(lambda cut: picture("JPEG")[:cut] + picture()[cut:]))
def test_no_bytes_do_anything_but_decode_or_be_refused(data: bytes) -> None:
    try:
        found = decode(Encoded(data, "images[0]"), WANTED, LIMIT)
    except InvalidRequest:
        return
    assert found.pixels.shape == WANTED.shape
