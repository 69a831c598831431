"""Torch tensors, and channels first: the same images as arrays with channels last, and clear words for mistakes."""

import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import resprobe
import torch
from PIL import Image

Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def colours() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)


class Tagged(torch.Tensor):
    """A class of a user's, as torchvision's Image is."""


def test_every_layout_means_the_same(either: resprobe.Client, colours: Pixels) -> None:
    expected = either.classify(colours, model="colour").probabilities
    first = np.moveaxis(colours, -1, 1)
    tensor = torch.from_numpy(colours)
    asked: list[tuple[Any, Any]] = [
        (first, "nchw"),
        (list(first), "nchw"),
        (tensor, "nhwc"),
        (list(tensor), "nhwc"),
        (torch.from_numpy(np.ascontiguousarray(first)), "nchw"),
        (tensor.permute(0, 3, 1, 2), "nchw"),
        (tensor.permute(0, 3, 1, 2).as_subclass(Tagged), "nchw"),
        ([first[0], *tensor[1:].permute(0, 3, 1, 2)], "nchw"),
    ]
    for images, layout in asked:
        found = either.classify(images, model="colour", layout=layout)
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
        (streamed,) = either.stream([images], model="colour", layout=layout)
        np.testing.assert_allclose(streamed.probabilities, expected, atol=1e-5)
    one = either.classify(first[0], model="colour", layout="nchw")
    np.testing.assert_allclose(one.probabilities, expected[:1], atol=1e-5)


def test_files_and_pictures_have_no_layout(either: resprobe.Client, colours: Pixels) -> None:
    picture = Image.fromarray(colours[0])
    expected = either.classify(picture, model="colour").probabilities
    found = either.classify([picture, np.moveaxis(colours[0], -1, 0)], model="colour", layout="nchw").probabilities
    np.testing.assert_allclose(found, np.repeat(expected, 2, axis=0), atol=1e-5)


OTHER = "[n, 1 or 3, height, width]"
MANY, PIXELS = "[n, height, width, 1 or 3]", "expected uint8 pixels; scale to 0…255 and cast"
FIRST, LAST = 'if channels come first, give layout="nchw"', 'if channels come last, give layout="nhwc", the default'


@pytest.mark.parametrize(
    ("images", "layout", "message"),
    [
        (torch.zeros(2, 3, 8, 9, dtype=torch.uint8), "nhwc", f"images: shape [2, 3, 8, 9]; expected {MANY}; {FIRST}"),
        (np.zeros((3, 8, 9), np.uint8), "nhwc", f"image 0: shape [3, 8, 9]; expected [height, width, 1 or 3]; {FIRST}"),
        (np.zeros((2, 8, 9, 3), np.uint8), "nchw", f"images: shape [2, 8, 9, 3]; expected {OTHER}; {LAST}"),
        (np.zeros((2, 4, 8, 9), np.uint8), "nchw", f"images: shape [2, 4, 8, 9]; expected {OTHER}"),
        (torch.zeros(8, 9, dtype=torch.uint8), "nchw", "image 0: shape [8, 9]; expected [1 or 3, height, width]"),
        (torch.zeros(2, 1, 8, 8), "nchw", f"images: dtype float32; {PIXELS}"),
        (torch.zeros(1, 8, 8).bfloat16(), "nchw", f"image 0: dtype bfloat16; {PIXELS}"),
        (torch.zeros(2, 8, 8, 1, dtype=torch.int64), "nhwc", "images: dtype int64; expected uint8 pixels"),
        (torch.zeros(8, 8, 1, dtype=torch.uint8).to("meta"), "nhwc", "image 0: the tensor cannot be read: "),
        (torch.zeros(8, 8, 1, dtype=torch.uint8).to_sparse(), "nhwc", "image 0: the tensor cannot be read: "),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_pixels_is_named(either: resprobe.Client, images: Any, layout: Any, message: str) -> None:
    with pytest.raises(resprobe.InvalidImage) as caught:
        either.classify(images, model="colour", layout=layout)
    found = str(caught.value)
    assert found.startswith(message)
    assert ("layout=" in found) == ("layout=" in message)


@pytest.mark.parametrize("layout", ["NHWC", "hwc", "", None, 1])
def test_another_layout_is_refused(either: resprobe.Client, colours: Pixels, layout: Any) -> None:
    with pytest.raises(resprobe.InvalidRequest, match=r"layout .*: expected 'nhwc' \(channels last\) or 'nchw'"):
        either.classify(colours, model="colour", layout=layout)


def test_a_batch_of_no_tensors_is_no_images(either: resprobe.Client) -> None:
    with pytest.raises(resprobe.InvalidRequest, match="no images were given"):
        either.classify(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), model="colour", layout="nchw")


def test_tensors_are_known_without_torch() -> None:
    code = """
import sys
import numpy as np
from resprobe._pictures.images import collect
class Tensor:
    dtype, shape, ndim = "torch.uint8", (2, 1, 4, 5), 4
    detach = cpu = lambda self: self
    numpy = lambda self: np.zeros(self.shape, np.uint8)
Tensor.__module__ = "torch"
print([(one.height, one.width, one.channels) for one in collect(Tensor(), "nchw")], "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[(4, 5, 1), (4, 5, 1)] False\n"
