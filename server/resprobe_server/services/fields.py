"""Checks of request fields that both protocols have: number of images, block scales, thresholds, finite numbers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from resprobe_protos.contract import EXIT_THRESHOLD

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


def read_threshold(value: float, images: int, alone: bool) -> npt.NDArray[np.float32]:
    """Reads the threshold of an early exit.

    Args:
        value: Threshold of the request.
        images: Number of images in the request.
        alone: Whether the request asks for classes only, and scales no block.

    Returns:
        float32 [images].

    Raises:
        InvalidRequest: It is not in (0, 1], or the request asks for something of the whole net.
    """
    if not 0 < value <= 1:
        raise InvalidRequest(f"{EXIT_THRESHOLD} is {value:g}; expected a number above 0, at most 1", EXIT_THRESHOLD)
    if not alone:
        raise InvalidRequest(
            f"{EXIT_THRESHOLD} does not go together with block_scale or with what is said of blocks: an image that "
            "leaves early has not seen the rest of the net; send a request for each",
            EXIT_THRESHOLD,
        )
    return np.full(images, value, np.float32)


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
