"""Decodes one image: from a picture file or raw pixels to uint8 [height, width, channels] in a model's format."""

from PIL import Image
from resprobe._pictures.images import Encoded, Fitted, Pixels, fitted

from resprobe_server.errors import InvalidRequest
from resprobe_server.images.files import open_picture, reason
from resprobe_server.images.format import Format


def decode(image: Encoded | Pixels, wanted: Format, max_pixels: int) -> Fitted:
    """Decodes an image, converts it to grey or colour, and resizes it where its size is not the wanted one.

    Args:
        image: Image; its `source` names it in errors and in the field of InvalidRequest.
        wanted: Format that the model takes.
        max_pixels: Maximum pixels of an encoded picture, checked before it is decoded.

    Raises:
        InvalidRequest: It is not a picture, is damaged, is too large, or its bytes do not match its shape.
    """
    picture = _from_pixels(image) if isinstance(image, Pixels) else open_picture(image, max_pixels).picture
    return convert(picture, wanted, image.source)


def convert(picture: Image.Image, wanted: Format, source: str) -> Fitted:
    """Decodes an opened picture, which `source` names in errors, as `decode` does."""
    try:
        return fitted(picture, *wanted.shape)
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
