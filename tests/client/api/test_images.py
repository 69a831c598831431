"""What users call an image: every kind means the same to both clients, and one that cannot be used is named."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from resprobe._pictures.images import Encoded, Pixels, collect


def zeros(*shape: int, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    return np.zeros(shape, dtype)


def images_of_every_kind(image: npt.NDArray[np.uint8], directory: Path) -> dict[str, Any]:
    picture = Image.fromarray(image[..., 0])
    path, file = directory / "image.png", io.BytesIO()
    picture.save(path)
    picture.save(file, "PNG")
    return {
        "array": image,
        "batch": image[None],
        "path": path,
        "string": str(path),
        "bytes": file.getvalue(),
        "PIL": picture,
        "PIL colour": picture.convert("RGB"),
        "PIL palette": picture.convert("P"),
        "list": [image],
        "mixed": [path, image, picture],
    }


KINDS = ["array", "batch", "path", "string", "bytes", "PIL", "PIL colour", "PIL palette", "list", "mixed"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_means_the_same(
    either: resprobe.Client, test_images: npt.NDArray[np.uint8], tmp_path: Path, kind: str
) -> None:
    expected = either.classify(test_images[:1], model="digits")
    result = either.classify(images_of_every_kind(test_images[0], tmp_path)[kind], model="digits")
    for classes, probabilities in zip(result.classes, result.probabilities, strict=True):
        assert classes.tolist() == expected.classes[0].tolist()
        np.testing.assert_allclose(probabilities, expected.probabilities[0], rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "message", "index"),
    [
        (zeros(8, 8, 1, dtype=np.float32), "image 0: dtype float32; expected uint8 pixels; scale to 0…255 and cast", 0),
        (zeros(2, 8, 8, 1, dtype=np.int64), "images: dtype int64; expected uint8 pixels", None),
        (zeros(8, 8), "image 0: shape [8, 8]; expected [height, width, 1 or 3]", 0),
        (zeros(2, 8, 8, 4), "images: shape [2, 8, 8, 4]; expected [n, height, width, 1 or 3]", None),
        (zeros(1, 2, 8, 8, 1), "image 0: shape [1, 2, 8, 8, 1]; expected [height, width, 1 or 3]", 0),
        (zeros(0, 8, 1), "image 0: shape [0, 8, 1]; expected [height, width, 1 or 3]", 0),
        ([zeros(8, 8, 1), zeros(1, 8, 8, 1)], "image 1: shape [1, 8, 8, 1]; expected [height, width, 1 or 3]", 1),
        ([zeros(8, 8, 1), None], "image 1 is a NoneType; expected a uint8 array or torch tensor, a path", 1),
        ("/nowhere/cat.jpg", "/nowhere/cat.jpg cannot be read: No such file or directory", 0),
        ([b"hello"], "image 0 is 5 bytes that are not a JPEG, PNG or WebP file", 0),
    ],
    ids=str,
)
def test_an_image_that_cannot_be_used(either: resprobe.Client, images: Any, message: str, index: int | None) -> None:
    with pytest.raises(resprobe.InvalidImage) as caught:
        either.classify(images, model="digits")
    assert str(caught.value).startswith(message)
    assert caught.value.index == index


def test_a_bad_file_is_called_by_its_name(either: resprobe.Client, tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(resprobe.InvalidImage, match=r"notes\.txt is 10 bytes that are not a JPEG") as caught:
        either.classify([zeros(8, 8, 1), tmp_path / "notes.txt"], model="digits")
    assert (caught.value.index, caught.value.status) == (1, "INVALID_ARGUMENT")


@pytest.mark.parametrize("nothing", [[], (), zeros(0, 8, 8, 1)], ids=["list", "tuple", "array"])
def test_no_images_at_all(either: resprobe.Client, nothing: Any) -> None:
    with pytest.raises(resprobe.InvalidRequest, match="no images were given"):
        either.classify(nothing, model="digits")


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3])).map(lambda shape: zeros(*shape))
        | st.binary(min_size=1, max_size=9).filter(lambda data: data[:2] != b"BM"),  # those are read here
        min_size=1,
    )
)
def test_collecting_keeps_count_and_order(images: list[Any]) -> None:
    found = collect(images)
    assert len(found) == len(images)
    for one, image in zip(found, images, strict=True):
        if isinstance(image, bytes):
            assert isinstance(one, Encoded)
            assert one.data == image
        else:
            assert isinstance(one, Pixels)
            assert (one.height, one.width, one.channels) == image.shape
