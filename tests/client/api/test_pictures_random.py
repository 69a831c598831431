"""Pictures of any mode, format, size and orientation: client, server and training see the same pixels and size."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from resprobe._pictures.images import Fitted, collect, fitted
from resprobe.datasets import read_fitted
from resprobe_server.images.decode import decode
from resprobe_server.images.format import Format

MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "JPEG": ["L", "RGB", "CMYK"],
    "BMP": ["1", "L", "P", "RGB"],
}
OPTIONS: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True, "exact": True}}
# How a picture lies in its file that an EXIF orientation makes upright.
LYING = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def drawn(mode: str, height: int, width: int, seed: int) -> Image.Image:
    """A picture of noise."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    if mode == "I;16":
        return Image.fromarray(values.view(np.uint16)[..., 0].copy())
    return (
        Image.fromarray(values).convert("RGB").convert(mode)
        if mode in ("P", "CMYK")
        else (Image.fromarray(values).convert(mode))
    )


def saved(upright: Image.Image, kind: str, orientation: int) -> bytes:
    file, options = io.BytesIO(), OPTIONS.get(kind, {})
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright, options = upright.transpose(LYING[orientation]), {**options, "exif": exif}
    upright.save(file, kind, **options)
    return file.getvalue()


def everywhere(data: bytes, path: Path, wanted: Format) -> list[Fitted]:
    """What comes of a file that is sent as one, opened with Pillow before, and read for training."""
    path.write_bytes(data)
    with Image.open(path) as picture:
        sent = [*collect([path, data, picture])]
    return [*(decode(image, wanted, 10**6) for image in sent), read_fitted(path, *wanted.shape)]


@given(
    st.sampled_from([(kind, mode) for kind, modes in MODES.items() for mode in modes]),
    st.integers(1, 8),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([1, 3]),
    st.integers(0, 99),
)
def test_any_picture_is_the_same_everywhere(
    tmp_path_factory: pytest.TempPathFactory,
    form: tuple[str, str],
    orientation: int,
    size: tuple[int, int],
    channels: int,
    seed: int,
) -> None:
    kind, mode = form
    upright = drawn(mode, *size, seed)
    data = saved(upright, kind, orientation if kind != "BMP" else 1)  # which has no EXIF
    path = tmp_path_factory.getbasetemp() / "picture"
    first, *others = everywhere(data, path, Format(6, 4, channels))
    assert first.resized_from == (None if size == (6, 4) else size)
    for other in others:
        np.testing.assert_array_equal(other.pixels, first.pixels)
        assert other.resized_from == first.resized_from
    if kind != "JPEG":  # which loses a little
        np.testing.assert_array_equal(first.pixels, fitted(upright, 6, 4, channels).pixels)
