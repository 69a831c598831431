"""Images as a model takes them, and the decoded images of a request."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from resprobe._pictures.images import Size
from resprobe._pictures.resize_and_crop import ResizeAndCrop

Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Format:
    """Size and channels of the images that a model takes.

    Attributes:
        height: Height in pixels.
        width: Width in pixels.
        channels: 1 (grey) or 3 (RGB).
        preprocessing: How pictures become such images. If None, they are resized as a whole.
    """

    height: int
    width: int
    channels: int
    preprocessing: ResizeAndCrop | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """[height, width, channels]."""
        return self.height, self.width, self.channels


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Images of a request in the format of a model.

    Attributes:
        images: Pixels, uint8 [n, height, width, channels].
        resized_from: Height and width of each image before it was resized. If None, it was used as it is.
    """

    images: Array
    resized_from: list[Size | None]
