"""Decodes one image: from a picture file or raw pixels to uint8 [height, width, channels] in a model's format."""

import math
from dataclasses import replace

from PIL import Image
from resprobe._pictures.images import Encoded, Fitted, Pixels, fitted

from resprobe_server.errors import InvalidRequest
from resprobe_server.images.files import open_picture, reason
from resprobe_server.images.format import Format


def decode(image: Encoded | Pixels, wanted: Format, max_pixels: int) -> Fitted:
    """Decodes an image, converts it to grey or colour, and brings it to the wanted size.

    If the model declares a preprocessing, it is applied to pictures, and other pixels must have the model's size.

    Args:
        image: Image; its `source` names it in errors and in the field of InvalidRequest.
        wanted: Format that the model takes.
        max_pixels: Maximum pixels of an encoded picture, checked before it is decoded.

    Raises:
        InvalidRequest: It is not a picture, is damaged, is too large, or its bytes do not match its shape.
    """
    if isinstance(image, Encoded):
        return convert(open_picture(image, max_pixels).picture, wanted, image.source, max_pixels)
    picture = _from_pixels(image)
    if wanted.preprocessing is None or image.is_picture:
        return convert(picture, wanted, image.source, max_pixels)
    if (image.height, image.width) != (wanted.height, wanted.width):
        raise InvalidRequest(
            f"{image.source} is pixels of {image.height}×{image.width}; this model takes pixels of "
            f"{wanted.height}×{wanted.width} (height × width), and resizes pictures only: send a picture, or "
            f"preprocess them ({wanted.preprocessing.describe(wanted.height, wanted.width)})",
            image.source,
        )
    return convert(picture, replace(wanted, preprocessing=None), image.source, max_pixels)


def resized_pixels(picture: Image.Image, wanted: Format) -> int:
    """Returns the number of pixels that an opened picture is resized to before it is cut."""
    preprocessing = wanted.preprocessing
    return wanted.height * wanted.width if preprocessing is None else math.prod(preprocessing.resized(*picture.size))


def convert(picture: Image.Image, wanted: Format, source: str, max_pixels: int) -> Fitted:
    """Decodes an opened picture, which `source` names in errors, as `decode` does."""
    if wanted.preprocessing is not None and resized_pixels(picture, wanted) > max_pixels:
        raise InvalidRequest(
            f"{source} has {picture.width}×{picture.height} pixels, which are too many once its shorter side is "
            f"resized to {wanted.preprocessing.resize}: send it less oblong",
            source,
        )
    try:
        return fitted(picture, *wanted.shape, wanted.preprocessing)
    except Exception as error:  # any error of Pillow for the bytes of a picture is their fault
        raise InvalidRequest(f"{source} is damaged or cut short: {reason(error)}", source) from error


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
