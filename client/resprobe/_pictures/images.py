"""What users call an image, turned into what travels: a file's bytes, or raw pixels. No protobuf here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from resprobe._pictures import formats
from resprobe.errors import InvalidImage, InvalidRequest

ImageLike: TypeAlias = "npt.NDArray[np.uint8] | str | PathLike[str] | bytes | Image.Image"
Images: TypeAlias = "ImageLike | Sequence[ImageLike]"
Size: TypeAlias = tuple[int, int]  # height and width, in pixels


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bytes of a JPEG, PNG or WebP file; `source` is what to call it in an error."""

    data: bytes
    source: str


@dataclass(frozen=True, slots=True)
class Pixels:
    """height × width × channels bytes, row by row, channels last, 1 (grey) or 3 (RGB) of them."""

    height: int
    width: int
    channels: int
    data: bytes
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A picture as a model takes it.

    Attributes:
        pixels: uint8 [height, width, channels].
        resized_from: Height and width of the picture as one sees it, which is after its EXIF orientation was applied.
            None if it had the model's size.
    """

    pixels: npt.NDArray[np.uint8]
    resized_from: Size | None


def fit(picture: Image.Image, height: int, width: int, channels: int) -> npt.NDArray[np.uint8]:
    """Returns what `fitted` does, without the size: uint8 [height, width, channels]."""
    return fitted(picture, height, width, channels).pixels


def fitted(picture: Image.Image, height: int, width: int, channels: int) -> Fitted:
    """Converts a picture to grey or colour and, where its size differs, resizes it (bilinear).

    The one rule for it: the exporter trains on pictures that went through here, and the server classifies them so.

    Raises:
        ValueError: See `to_8_bits`.
    """
    picture = to_8_bits(picture).convert("L" if channels == 1 else "RGB")
    size = None
    if picture.size != (width, height):
        size = picture.height, picture.width
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return Fitted(np.asarray(picture).reshape(height, width, channels), size)


def to_8_bits(picture: Image.Image) -> Image.Image:
    """Makes a picture grey or RGB as a person would see it.

    Its EXIF orientation is applied, 16 bits are scaled to 8, and what is transparent is laid over white. Of several
    frames the first is used.

    Returns:
        A picture of mode L if it has no colours, else of mode RGB.

    Raises:
        ValueError: Its pixels are floating-point numbers, or 32-bit numbers whose range is not that of 16 bits.
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


def collect(images: Images) -> list[Encoded | Pixels]:
    """Everything that `Client.classify` takes, as a list with one entry for each image.

    Args:
        images: uint8 array [n, h, w, c] or [h, w, c], a path, a PIL image, encoded bytes, or a list of these. Files
            and bytes are of the formats in formats.py.

    Raises:
        InvalidImage: An image has another shape or dtype, or its file cannot be read.
        InvalidRequest: There are no images.
    """
    found = [entry for index, image in enumerate(_each(images)) for entry in _one(image, index)]
    if not found:
        raise InvalidRequest("no images were given; expected at least one")
    return found


def _each(images: Images) -> Iterator[Any]:
    if isinstance(images, np.ndarray) and images.ndim == 4:
        _check(images, None)
        yield from images
    elif isinstance(images, list | tuple):
        yield from images
    else:
        yield images


def _one(image: Any, index: int) -> Iterator[Encoded | Pixels]:
    match image:
        case np.ndarray():
            _check(image, index)
            yield _pixels(image, f"image {index}")
        case bytes() | bytearray() | memoryview():
            yield _encoded(bytes(image), f"image {index}", index)
        case str() | PathLike():
            yield _file(Path(image), index)
        case Image.Image():
            yield _picture(image, index)
        case _:
            raise InvalidImage(
                f"image {index} is a {type(image).__name__}; "
                "expected a uint8 array, a path, a PIL image or the bytes of a picture file",
                index=index,
            )


def _picture(image: Image.Image, index: int) -> Pixels:
    try:
        pixels = np.asarray(to_8_bits(image))
    except Exception as error:  # a picture that is read only now may be damaged in any way
        raise InvalidImage(f"image {index}: {str(error) or type(error).__name__}", index=index) from error
    return _pixels(pixels[..., None] if pixels.ndim == 2 else pixels, f"image {index}")


def _check(image: npt.NDArray[Any], index: int | None) -> None:
    what = "images" if index is None else f"image {index}"
    if image.dtype != np.uint8:
        hint = "; scale to 0…255 and cast" if image.dtype.kind == "f" else ""
        raise InvalidImage(f"{what}: dtype {image.dtype}; expected uint8 pixels{hint}", index=index)
    shape = image.shape[-3:]
    if image.ndim - (index is None) != 3 or shape[-1] not in (1, 3) or 0 in shape:
        expected = "[n, height, width, 1 or 3]" if index is None else "[height, width, 1 or 3]"
        raise InvalidImage(f"{what}: shape {list(image.shape)}; expected {expected}", index=index)


def _pixels(image: npt.NDArray[np.uint8], source: str) -> Pixels:
    height, width, channels = image.shape
    return Pixels(height, width, channels, image.tobytes(), source)


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
