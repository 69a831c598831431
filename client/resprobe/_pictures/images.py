"""Turns what users call an image into what travels: the bytes of a file, or raw pixels. No protobuf here."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from resprobe._pictures import formats
from resprobe._pictures.arrays import Layout, Tensor, as_array, channels_last, check_layout
from resprobe._pictures.resize_and_crop import ResizeAndCrop
from resprobe.errors import InvalidImage, InvalidRequest

ImageLike: TypeAlias = "npt.NDArray[np.uint8] | Tensor | str | PathLike[str] | bytes | Image.Image"
Images: TypeAlias = "ImageLike | Sequence[ImageLike]"
Size: TypeAlias = tuple[int, int]  # height and width, in pixels


@dataclass(frozen=True, slots=True)
class Encoded:
    """Bytes of a JPEG, PNG or WebP file; `source` is what to call it in an error."""

    data: bytes
    source: str


@dataclass(frozen=True, slots=True)
class Pixels:
    """Raw pixels, row by row, channels last: height × width × channels bytes, 1 channel (grey) or 3 (RGB).

    If `is_picture`, they are a decoded picture, which is preprocessed as a file is.
    """

    height: int
    width: int
    channels: int
    data: bytes
    source: str
    is_picture: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Picture of the size and the channels that a model expects.

    Attributes:
        pixels: uint8 [height, width, channels].
        resized_from: Height and width of the picture after its EXIF orientation was applied. If None, it was used as
            it is.
    """

    pixels: npt.NDArray[np.uint8]
    resized_from: Size | None


def fitted(
    picture: Image.Image, height: int, width: int, channels: int, preprocessing: ResizeAndCrop | None = None
) -> Fitted:
    """Converts a picture to grey or colour, and brings it to the size of a model's images.

    The exporter trains on pictures that were converted here, and the server converts them here too.

    Args:
        picture: Picture of any size.
        height: Height of the model's images.
        width: Width of the model's images.
        channels: Channels of the model's images: 1 (grey) or 3 (RGB).
        preprocessing: Preprocessing that the model declares. If None, a picture of another size is resized as a whole
            (bilinear).

    Raises:
        ValueError: `to_8_bits` cannot convert it.
    """
    picture = to_8_bits(picture).convert("L" if channels == 1 else "RGB")
    before, wanted = picture.size, (width, height)
    if preprocessing is not None and {before, preprocessing.resized(*before)} != {wanted}:
        picture = preprocessing.apply(picture, height, width)
    elif before != wanted:
        picture = picture.resize(wanted, Image.Resampling.BILINEAR)
    else:
        return Fitted(_as_array(picture, channels), None)
    return Fitted(_as_array(picture, channels), (before[1], before[0]))


def _as_array(picture: Image.Image, channels: int) -> npt.NDArray[np.uint8]:
    return np.asarray(picture).reshape(picture.height, picture.width, channels)


def to_8_bits(picture: Image.Image) -> Image.Image:
    """Converts a picture to grey or RGB, as a person would see it.

    Its EXIF orientation is applied, 16 bits are scaled to 8, and transparent pixels are laid over white. The first of
    several frames is used.

    Returns:
        A picture of mode L if it has no colours, else of mode RGB.

    Raises:
        ValueError: Its pixels are floating-point numbers, or 32-bit numbers outside the range of 16 bits.
    """
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers; scale them to 0…255 and convert the picture to 8 bits")
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        return _from_16_bits(picture)
    if picture.mode == "La":
        picture = picture.convert("LA")
    if picture.has_transparency_data:
        colours = picture.convert("RGBA")
        opaque = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), colours)
        return opaque.convert("L" if picture.mode in ("L", "LA", "1") else "RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _from_16_bits(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"its pixels are {values.min()} to {values.max()}; expected 8 bits, or 16 bits (0 to 65535)")
    if picture.mode == "I" and 0 < values.max() < 256:
        raise ValueError("its pixels are 32-bit numbers up to 255, which may mean 8 or 16 bits; convert it to 8 bits")
    grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def collect(images: Images, layout: Layout = "nhwc") -> list[Encoded | Pixels]:
    """Reads everything that `Client.classify` accepts: returns one entry for each image.

    Args:
        images: uint8 array or torch tensor [n, h, w, c] or [h, w, c], a path, a PIL image, encoded bytes, or a list of
            these. Files and bytes are of the formats in formats.py.
        layout: Order of the axes of arrays and tensors.

    Raises:
        InvalidImage: An image has another shape or dtype, or its file cannot be read.
        InvalidRequest: There are no images, or no such layout.
    """
    check_layout(layout)
    each: Sequence[Any]
    if isinstance(images, list | tuple):
        each = images
    elif getattr(images, "ndim", 0) == 4 and (array := as_array(images, None)) is not None:
        each, layout = list(channels_last(array, layout, None)), "nhwc"
    else:
        each = [images]
    found = [_one(image, index, layout) for index, image in enumerate(each)]
    if not found:
        raise InvalidRequest("no images were given; expected at least one")
    return found


def count(images: Images) -> int:
    """Counts what `collect` would return, without reading it."""
    if isinstance(images, list | tuple):
        return len(images)
    shape: tuple[int, ...] = getattr(images, "shape", ())
    return shape[0] if len(shape) == 4 else 1


def _one(image: Any, index: int, layout: Layout) -> Encoded | Pixels:
    array = as_array(image, index)
    if array is not None:
        return _pixels(channels_last(array, layout, index), f"image {index}")
    match image:
        case bytes() | bytearray() | memoryview():
            return _encoded(bytes(image), f"image {index}", index)
        case str() | PathLike():
            return _file(Path(image), index)
        case Image.Image():
            return _picture(image, index)
        case _:
            raise InvalidImage(
                f"image {index} is a {type(image).__name__}; "
                "expected a uint8 array or torch tensor, a path, a PIL image or the bytes of a picture file",
                index=index,
            )


def _picture(image: Image.Image, index: int) -> Pixels:
    try:
        pixels = np.asarray(to_8_bits(image))
    except Exception as error:  # a picture that is read only now may be damaged in any way
        raise InvalidImage(f"image {index}: {str(error) or type(error).__name__}", index=index) from error
    return _pixels(pixels[..., None] if pixels.ndim == 2 else pixels, f"image {index}", is_picture=True)


def _pixels(image: npt.NDArray[np.uint8], source: str, is_picture: bool = False) -> Pixels:
    height, width, channels = image.shape
    return Pixels(height, width, channels, image.tobytes(), source, is_picture)


def _file(path: Path, index: int) -> Encoded:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidImage(f"{path} cannot be read: {error.strerror}", index=index) from error
    return _encoded(data, str(path), index)


def _encoded(data: bytes, source: str, index: int) -> Encoded:
    """Returns a picture file as it can be sent: as PNG if a server does not decode its format."""
    kind = next((kind for kind, beginning in formats.BEGINNINGS.items() if data.startswith(beginning)), None)
    if kind is None:
        return Encoded(data, source)
    file = BytesIO()
    try:
        with Image.open(BytesIO(data), formats=[kind]) as picture:
            to_8_bits(picture).save(file, "PNG", compress_level=1)
    except UnidentifiedImageError as error:
        text = f"{source} is {len(data)} bytes that are not a {formats.NAMES} file"
        raise InvalidImage(text, index=index) from error
    except Exception as error:  # a damaged picture makes Pillow raise in many ways
        text = f"{source} is damaged or cut short: {str(error) or type(error).__name__}"
        raise InvalidImage(text, index=index) from error
    return Encoded(file.getvalue(), source)
