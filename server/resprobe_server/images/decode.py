"""From what a request holds to what a model takes: images as uint8 [height, width, channels], and block scales."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from resprobe._pictures.images import Encoded, Fitted, Pixels, Size, fitted

from resprobe_server.errors import InvalidRequest
from resprobe_server.images.files import open_picture, reason

Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Format:
    """The images that a model takes."""

    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """[height, width, channels]."""
        return self.height, self.width, self.channels


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The images of a request in the format of a model.

    Attributes:
        images: uint8 [n, height, width, channels].
        resized_from: For each its height and width before it was resized; None where it was not.
    """

    images: Array
    resized_from: list[Size | None]


def check_images(count: int, most: int) -> None:
    """Raises InvalidRequest for a request of more images than are taken at a time."""
    if count > most:
        raise InvalidRequest(f"the request has {count} images; expected at most {most}", "images")


def decode(image: Encoded | Pixels, wanted: Format, max_pixels: int) -> Fitted:
    """Decodes an image, converts it to grey or colour, and resizes it where its size is not the wanted one.

    Args:
        image: Its `source` names it in errors and in the field of InvalidRequest.
        wanted: What the model takes.
        max_pixels: Of an encoded picture; checked before it is decoded.

    Raises:
        InvalidRequest: It is no picture, is damaged, is too large, or its bytes do not match its shape.
    """
    picture = _from_pixels(image) if isinstance(image, Pixels) else open_picture(image, max_pixels).picture
    return convert(picture, wanted, image.source)


def convert(picture: Image.Image, wanted: Format, source: str) -> Fitted:
    """Decodes an opened picture, which `source` names in errors; see `decode`."""
    try:
        return fitted(picture, *wanted.shape)
    except Exception as error:  # whatever Pillow raises for the bytes of a picture is their fault
        raise InvalidRequest(f"{source} is damaged or cut short: {reason(error)}", source) from error


def read_scale(values: Sequence[float], images: int, blocks: int) -> npt.NDArray[np.float32]:
    """The block scale of every image, float32 [images, blocks].

    Args:
        values: One for each block, which then holds for all images, or images × blocks, image by image.
        images: In the request.
        blocks: Of the model.

    Raises:
        InvalidRequest: There are more or fewer, or one is not finite.
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


def check_finite(values: npt.NDArray[np.generic], name: str) -> None:
    """Raises InvalidRequest if a number is not finite; it names the first."""
    flat = values.ravel()
    if (wrong := np.flatnonzero(~np.isfinite(flat))).size:
        raise InvalidRequest(f"{name}[{wrong[0]}] is {flat[wrong[0]]}; expected a finite number", name)


def _from_pixels(image: Pixels) -> Image.Image:
    if image.channels not in (1, 3) or min(image.height, image.width) < 1:
        raise InvalidRequest(
            f"{image.source} has shape [{image.height}, {image.width}, {image.channels}]; "
            "expected [height, width, 1 or 3]",
            image.source,
        )
    if len(image.data) != image.height * image.width * image.channels:
        raise InvalidRequest(
            f"{image.source} has {len(image.data)} bytes; its shape [{image.height}, {image.width}, "
            f"{image.channels}] needs {image.height * image.width * image.channels}",
            image.source,
        )
    return Image.frombytes("L" if image.channels == 1 else "RGB", (image.width, image.height), image.data)
