"""Checks of request fields that both protocols have: number of images, block scales, finite numbers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from resprobe_server.errors import InvalidRequest

MIB = 1 << 20


def check_images(count: int, maximum: int) -> None:
    """Raises InvalidRequest for a request of more than `maximum` images."""
    if count > maximum:
        raise InvalidRequest(f"the request has {count} images; expected at most {maximum}", "images")


def read_scale(values: Sequence[float], images: int, blocks: int) -> npt.NDArray[np.float32]:
    """Reads the block scale of every image.

    Args:
        values: One value for each block, which then holds for all images, or images × blocks, image by image.
        images: Number of images in the request.
        blocks: Number of blocks of the model.

    Returns:
        float32 [images, blocks].

    Raises:
        InvalidRequest: There are more or fewer values, or one is not finite.
    """
    if len(values) not in (blocks, images * blocks):
        raise InvalidRequest(
            f"block_scale has {len(values)} values; expected {blocks}, one for each block, "
            f"or {images * blocks}, one for each block of each image",
            "block_scale",
        )
    scale = np.array(values, np.float32)
    check_finite(scale, "block_scale")
    return np.tile(scale, (images, 1)) if len(scale) == blocks else scale.reshape(images, blocks)


def intact(images: int, blocks: int) -> npt.NDArray[np.float32]:
    """Returns the block scale of images whose blocks are left as they are: float32 [images, blocks]."""
    return np.ones((images, blocks), np.float32)


def check_response(images: int, row_bytes: int, maximum: int) -> None:
    """Raises InvalidRequest if the response would have more than `maximum` bytes.

    Args:
        images: Number of images.
        row_bytes: Bytes of the response for each of them.
        maximum: Maximum bytes.
    """
    if images * row_bytes > maximum:
        raise InvalidRequest(
            f"the response would have {images * row_bytes / MIB:.1f} MiB, more than the {maximum / MIB:g} that are "
            f"allowed; send at most {maximum // row_bytes} images at a time, or ask for less",
            "images",
        )


def check_finite(values: npt.NDArray[np.generic], name: str) -> None:
    """Raises InvalidRequest, which names the first one, if a number is not finite."""
    flat = values.ravel()
    if (wrong := np.flatnonzero(~np.isfinite(flat))).size:
        raise InvalidRequest(f"{name}[{wrong[0]}] is {flat[wrong[0]]}; expected a finite number", name)
