"""Preprocesses pictures on the user's side: what is sent then is pixels in the size of the model's images."""

from collections.abc import Sequence
from io import BytesIO
from typing import Literal, get_args

from PIL import Image

from resprobe._pictures import formats
from resprobe._pictures.images import Encoded, Fitted, Pixels, Size, fitted
from resprobe._pictures.resize_and_crop import ResizeAndCrop
from resprobe.errors import InvalidImage, InvalidRequest

Place = Literal["server", "client"]  # where pictures are preprocessed


def check_place(place: Place) -> None:
    """Raises InvalidRequest for a place that does not exist."""
    if place not in get_args(Place):
        raise InvalidRequest(f"preprocess {place!r}: expected 'server' or 'client'")


def make_ready(
    images: Sequence[Encoded | Pixels], shape: tuple[int, int, int], preprocessing: ResizeAndCrop | None
) -> tuple[list[Pixels], list[Size | None]]:
    """Preprocesses pictures as a server does; arrays stay as they are.

    Args:
        images: Images that `collect` returned.
        shape: Height, width and channels of the model's images.
        preprocessing: Preprocessing that the model declares. If None, pictures are resized as a whole.

    Returns:
        The pixels, and height and width of each picture before it was resized. If None, it was not resized.

    Raises:
        InvalidImage: A picture cannot be decoded.
    """
    pixels: list[Pixels] = []
    sizes: list[Size | None] = []
    for index, image in enumerate(images):
        if isinstance(image, Pixels) and not image.is_picture:
            pixels.append(image)
            sizes.append(None)
            continue
        found = _fitted(image, index, shape, preprocessing)
        height, width, channels = found.pixels.shape
        pixels.append(Pixels(height, width, channels, found.pixels.tobytes(), image.source))
        sizes.append(found.resized_from)
    return pixels, sizes


def _fitted(
    image: Encoded | Pixels, index: int, shape: tuple[int, int, int], preprocessing: ResizeAndCrop | None
) -> Fitted:
    try:
        if isinstance(image, Pixels):
            mode = "L" if image.channels == 1 else "RGB"
            return fitted(Image.frombytes(mode, (image.width, image.height), image.data), *shape, preprocessing)
        with Image.open(BytesIO(image.data), formats=tuple(formats.SERVED)) as picture:
            return fitted(picture, *shape, preprocessing)
    except Exception as error:  # a damaged picture makes Pillow raise in many ways
        reason = str(error) or type(error).__name__
        raise InvalidImage(f"{image.source} cannot be read as a picture: {reason}", index=index) from error
