"""One rule for pictures of every kind: in the client, in the server and in training they come out as one sees them."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from resprobe import InvalidImage
from resprobe._pictures.images import Encoded, Pixels, collect, fitted
from resprobe.datasets import read_picture
from resprobe_server.images.decode import decode
from resprobe_server.images.format import Format

SIZE = 6, 4  # height, width
COLOURS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
GREYS = COLOURS[..., 0]
Array = npt.NDArray[np.uint8]
# From a picture that is upright to one that its EXIF orientation makes upright.
TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def saved(picture: Image.Image, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    picture.save(file, "PNG", exif=exif)
    return file.getvalue()


def everywhere(picture: Image.Image, data: bytes, folder: Path, channels: int) -> list[Array]:
    """A picture as the client sends it, as the server decodes its file, and as training reads it."""
    (sent,) = collect(picture)
    assert isinstance(sent, Pixels)
    wanted = Format(*SIZE, channels)
    path = folder / "picture.png"
    path.write_bytes(data)
    return [
        decode(sent, wanted, 10**6).pixels,
        decode(Encoded(data, "images[0]"), wanted, 10**6).pixels,
        read_picture(path, *wanted.shape),
    ]


@given(
    st.sampled_from(sorted(TURNED)), st.sampled_from(["L", "RGB", "RGBA", "LA", "I;16", "P"]), st.sampled_from([1, 3])
)
def test_every_mode_and_orientation_is_the_same_everywhere(
    tmp_path_factory: pytest.TempPathFactory, orientation: int, mode: str, channels: int
) -> None:
    upright = Image.fromarray(GREYS) if mode == "I;16" else Image.fromarray(COLOURS).convert(mode)
    turned = np.ascontiguousarray(TURNED[orientation](np.asarray(upright)))
    picture = Image.fromarray(turned.astype(np.uint16) * 257 if mode == "I;16" else turned)
    if mode == "P":
        picture.putpalette(upright.getpalette() or [])
    data = saved(picture, orientation)
    found = everywhere(Image.open(io.BytesIO(data)), data, tmp_path_factory.getbasetemp(), channels)
    for one in found:
        np.testing.assert_array_equal(one, fitted(upright, *SIZE, channels).pixels)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4"])
def test_sixteen_bits_are_scaled(dtype: str) -> None:
    picture = Image.fromarray((GREYS.astype(np.uint32) * 257).astype(dtype))
    np.testing.assert_array_equal(fitted(picture, *SIZE, 1).pixels[..., 0], GREYS)


@pytest.mark.parametrize("hidden", [(0, 0, 0), (0, 255, 0)])
def test_what_is_transparent_is_white(hidden: tuple[int, int, int], tmp_path: Path) -> None:
    opaque = np.zeros(SIZE, np.uint8)
    opaque[1:3, 1:3] = 255
    colours, expected = COLOURS.copy(), COLOURS.copy()
    colours[opaque == 0], expected[opaque == 0] = hidden, 255
    picture = Image.fromarray(np.dstack([colours, opaque]))
    for one in everywhere(picture, saved(picture), tmp_path, 3):
        np.testing.assert_array_equal(one, expected)


def test_a_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    picture = Image.new("P", (SIZE[1], SIZE[0]), 1)
    picture.putpalette([10, 20, 30, 255, 0, 255])
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=1)
    with Image.open(io.BytesIO(file.getvalue())) as read:
        for one in everywhere(read, file.getvalue(), tmp_path, 3):
            assert (one == 255).all()


def test_a_transparent_value_of_sixteen_bits_is_white(tmp_path: Path) -> None:
    values = GREYS.astype(np.uint16) * 257
    picture = Image.fromarray(values)
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=int(values[0, 0]))
    expected = np.where(GREYS[0, 0] == GREYS, 255, GREYS)
    with Image.open(io.BytesIO(file.getvalue())) as read:
        for one in everywhere(read, file.getvalue(), tmp_path, 1):
            np.testing.assert_array_equal(one[..., 0], expected)


UNSTATED = {
    "fractions": np.float32(GREYS / 255),
    "beyond 16 bits": np.int32(GREYS) * 65536,
    "negative": -np.int32(GREYS) - 1,
    "8 bits in 32": np.int32(GREYS),
}


@pytest.mark.parametrize("values", UNSTATED.values(), ids=UNSTATED)
def test_numbers_whose_range_nobody_states_are_refused(values: npt.NDArray[np.generic]) -> None:
    with pytest.raises(InvalidImage, match="8 bits"):
        collect(Image.fromarray(values))
