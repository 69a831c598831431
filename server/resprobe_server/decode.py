"""From what a request holds to what a model takes: images as uint8 [height, width, channels], and block scales.

Pictures are decoded in a thread pool.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from resprobe.images import Encoded, Pixels, fit

from resprobe_server.errors import InvalidRequest

FORMATS = ("JPEG", "PNG", "WEBP")
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


def check_images(count: int, most: int) -> None:
    """Raises InvalidRequest for a request of more images than are taken at a time."""
    if count > most:
        raise InvalidRequest(f"the request has {count} images; expected at most {most}", "images")


async def decode_all(images: Sequence[Encoded | Pixels], wanted: Format, max_pixels: int, decoders: Executor) -> Array:
    """Images of any kind as one array, uint8 [n, height, width, channels]; at least one. See `decode`."""
    loop = asyncio.get_running_loop()
    jobs = [loop.run_in_executor(decoders, decode, image, wanted, max_pixels) for image in images]
    return np.stack(await asyncio.gather(*jobs))


def decode(image: Encoded | Pixels, wanted: Format, max_pixels: int) -> Array:
    """One image in the wanted format: decoded, converted to grey or colour, and resized where it differs.

    Args:
        image: Its `source` names it in errors and in the field of InvalidRequest.
        wanted: What the model takes.
        max_pixels: Of an encoded picture; checked before it is decoded.

    Returns:
        uint8 [height, width, channels].

    Raises:
        InvalidRequest: It is no picture, is damaged, is too large, or its bytes do not match its shape.
    """
    picture = _from_pixels(image) if isinstance(image, Pixels) else _open(image, max_pixels)
    try:
        return fit(picture, *wanted.shape)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises where the data ends or makes no sense
        raise InvalidRequest(f"{image.source} is damaged or cut short: {error}", image.source) from error


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


def _open(image: Encoded, max_pixels: int) -> Image.Image:
    try:
        picture = Image.open(BytesIO(image.data), formats=FORMATS)
    except UnidentifiedImageError as error:
        kinds = "a JPEG, PNG or WebP file"
        found = f"{len(image.data)} bytes that are not {kinds}" if image.data else f"empty; expected {kinds}"
        raise InvalidRequest(f"{image.source} is {found}", image.source) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidRequest(f"{image.source} cannot be opened: {error}", image.source) from error
    if picture.width * picture.height > max_pixels:
        raise InvalidRequest(
            f"{image.source} has {picture.width}×{picture.height} pixels; at most {max_pixels / 1e6:g} megapixels "
            "are decoded here: send it smaller",
            image.source,
        )
    return picture


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
