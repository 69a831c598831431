"""Pictures are resized and cut as torchvision does it with PIL images, to the last byte."""

import os
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from resprobe._pictures.images import Encoded, Pixels, collect, fitted
from resprobe._pictures.ready import make_ready
from resprobe._pictures.resize_and_crop import INTERPOLATIONS, ResizeAndCrop
from resprobe.datasets import read_fitted, read_pictures
from resprobe_server.errors import InvalidRequest
from resprobe_server.images.decode import decode
from resprobe_server.images.format import Format

from tests.support.timm_nets import VARIABLE

SIDE = st.integers(1, 70)
STEPS = st.builds(ResizeAndCrop, st.integers(1, 40), st.sampled_from(sorted(INTERPOLATIONS)))


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def by_hand(picture: Image.Image, steps: ResizeAndCrop, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Resize of the shorter side, black bars where the result is too small, then the centre."""
    w, h = picture.size
    size = (steps.resize, steps.resize * h // w) if w <= h else (steps.resize * w // h, steps.resize)
    picture = picture.resize(size, getattr(Image.Resampling, steps.interpolation.upper()))
    over = max(width - picture.width, 0), max(height - picture.height, 0)
    bars = over[0] // 2, over[1] // 2, over[0] - over[0] // 2, over[1] - over[1] // 2
    picture = ImageOps.expand(picture, bars)
    left, top = (round(more / 2) for more in (picture.width - width, picture.height - height))
    return np.asarray(picture)[top : top + height, left : left + width]


@settings(max_examples=150)
@given(SIDE, SIDE, SIDE, SIDE, STEPS)
def test_any_sizes_give_the_pixels_of_a_formula_in_pillow(
    width: int, height: int, to_width: int, to_height: int, steps: ResizeAndCrop
) -> None:
    picture = noise(width, height)
    found = fitted(picture, to_height, to_width, 3, steps)
    np.testing.assert_array_equal(found.pixels, by_hand(picture, steps, to_height, to_width))
    untouched = picture.size == steps.resized(*picture.size) == (to_width, to_height)
    assert found.resized_from == (None if untouched else (height, width))


@pytest.mark.long
def test_any_sizes_give_the_pixels_of_torchvision() -> None:
    directory = os.environ.get(VARIABLE)
    if directory is None:
        pytest.skip(f"{VARIABLE} does not name a directory with torchvision")
    if directory not in sys.path:
        sys.path.append(directory)
    from torchvision import transforms  # type: ignore[import-not-found,import-untyped,unused-ignore]

    @settings(max_examples=600)
    @given(st.integers(1, 700), st.integers(1, 700), SIDE, SIDE, STEPS)
    def check(width: int, height: int, to_width: int, to_height: int, steps: ResizeAndCrop) -> None:
        if max(steps.resized(width, height)) > 4000:
            return
        mode = transforms.InterpolationMode(steps.interpolation)
        oracle = transforms.Compose(
            [transforms.Resize(steps.resize, mode), transforms.CenterCrop((to_height, to_width))]
        )
        picture = noise(width, height)
        expected = np.asarray(oracle(picture))
        np.testing.assert_array_equal(fitted(picture, to_height, to_width, 3, steps).pixels, expected)

    check()


def test_server_client_and_data_sets_make_the_same_pixels(tmp_path: Path) -> None:
    wanted, steps = (12, 12, 3), ResizeAndCrop(14, "bicubic")
    path = tmp_path / "a.jpg"
    noise(50, 31).save(path, quality=95)
    with Image.open(path) as picture:
        decoded = picture.convert("RGB")
    expected = by_hand(decoded, steps, 12, 12)
    images = collect([path, path.read_bytes(), decoded, expected])
    ready, sizes = make_ready(images, wanted, steps)
    served = [decode(image, Format(*wanted, steps), 10**6) for image in images]
    found = [np.frombuffer(one.data, np.uint8).reshape(wanted) for one in ready]
    for pixels in (*found, *(one.pixels for one in served), read_fitted(path, *wanted, steps).pixels):
        np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_array_equal(read_pictures([path], *wanted, steps)[0], expected)
    assert sizes == [one.resized_from for one in served] == [(31, 50)] * 3 + [None]


def test_arrays_must_have_the_size_of_the_images() -> None:
    wanted = Format(12, 12, 3, ResizeAndCrop(14))
    (array,) = collect(np.zeros((1, 12, 13, 3), np.uint8))
    with pytest.raises(
        InvalidRequest, match=r"image 0 is pixels of 12×13; this model takes pixels of 12×12 .* resizes"
    ):
        decode(array, wanted, 10**6)
    assert decode(collect(np.zeros((12, 12, 1), np.uint8))[0], wanted, 10**6).pixels.shape == (12, 12, 3)
    assert decode(array, Format(12, 12, 3), 10**6).resized_from == (12, 13)


def test_a_picture_that_would_become_gigantic_is_refused() -> None:
    file = BytesIO()
    Image.new("L", (9000, 1)).save(file, "PNG")
    wanted = Format(224, 224, 3, ResizeAndCrop(256))
    for image in (Encoded(file.getvalue(), "a.png"), Pixels(1, 9000, 1, bytes(9000), "a.png", is_picture=True)):
        with pytest.raises(
            InvalidRequest, match=r"a\.png has 9000×1 pixels, which are too many once .* to 256: send it"
        ):
            decode(image, wanted, 50 * 10**6)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (ResizeAndCrop(0), "resize 0: expected 1 pixel or more"),
        (ResizeAndCrop(9, "lanczos"), "interpolation 'lanczos': expected bilinear or bicubic"),
    ],
)
def test_unknown_steps_are_refused(steps: ResizeAndCrop, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(noise(5, 6), 4, 4, 3, steps)
