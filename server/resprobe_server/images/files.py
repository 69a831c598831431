"""Opens picture files from unknown sources: the sizes that they claim are checked before anything is decoded."""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError
from resprobe._pictures.formats import SERVED
from resprobe._pictures.images import Encoded

from resprobe_server.errors import InvalidRequest

LONGEST_SIDE = 16_384  # pixels
MAX_SCANS = 64  # of a JPEG; a progressive one has about ten, and each is a pass over the whole picture
MAX_CHUNKS = 16_384  # of a PNG, each of which Pillow handles in Python
JPEG_SIGNATURE, SCAN = b"\xff\xd8", b"\xff\xda"  # several JPEGs in one file are an MPO to Pillow
PNG_SIGNATURE, CHUNK_HEAD = 8, 8
SMALL_PIXELS, SMALL_BYTES, FEW_SCANS = 1_000_000, 1 << 20, 16  # decoded in milliseconds


@dataclass(frozen=True)
class Opened:
    """Picture whose header was read.

    Attributes:
        picture: Picture, not decoded yet.
        pixels: Number of pixels that its header claims.
        is_small: Whether it is certain to be decoded within milliseconds.
    """

    picture: Image.Image
    pixels: int
    is_small: bool


def open_picture(image: Encoded, max_pixels: int) -> Opened:
    """Reads the header of a picture file.

    Args:
        image: Picture file; its `source` names it in errors.
        max_pixels: Maximum number of pixels.

    Raises:
        InvalidRequest: It is not a JPEG, PNG or WebP file, is damaged, or claims more than the limits admit.
    """
    data, source = image.data, image.source
    _check_chunks(data, source)
    try:
        picture = Image.open(BytesIO(data), formats=tuple(SERVED))
    except UnidentifiedImageError as error:
        kinds = "a JPEG, PNG or WebP file"
        found = f"{len(data)} bytes that are not {kinds}" if data else f"empty; expected {kinds}"
        raise InvalidRequest(f"{source} is {found}", source) from error
    except Exception as error:  # any error of Pillow for these bytes is their fault
        raise InvalidRequest(f"{source} cannot be opened: {reason(error)}", source) from error
    width, height = picture.size
    if width * height > max_pixels or max(width, height) > LONGEST_SIDE:
        most = f"{max_pixels / 1e6:g} megapixels" if width * height > max_pixels else f"{LONGEST_SIDE} pixels a side"
        text = f"{source} has {width}×{height} pixels; at most {most} are decoded here: send it smaller"
        raise InvalidRequest(text, source)
    # A marker does not occur in compressed data, where FF is escaped.
    scans = data.count(SCAN) if data.startswith(JPEG_SIGNATURE) else 0
    if scans > MAX_SCANS:
        raise InvalidRequest(f"{source} is a JPEG of {scans} scans; expected at most {MAX_SCANS}", source)
    is_small = width * height <= SMALL_PIXELS and len(data) <= SMALL_BYTES and scans <= FEW_SCANS
    return Opened(picture, width * height, is_small)


def reason(error: Exception) -> str:
    """Returns the text of an error of Pillow, or the name of its class if it has no text."""
    return str(error) or type(error).__name__


def _check_chunks(data: bytes, source: str) -> None:
    """Raises InvalidRequest for a PNG of more chunks than any program writes."""
    if not data.startswith(b"\x89PNG"):
        return
    at, count = PNG_SIGNATURE, 0
    while at < len(data):
        count += 1
        if count > MAX_CHUNKS:
            raise InvalidRequest(f"{source} is a PNG of more than {MAX_CHUNKS} chunks", source)
        at += CHUNK_HEAD + int.from_bytes(data[at : at + 4], "big") + 4
