"""Images as a model takes them, and the decoded images of a request."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from resprobe._pictures.images import Size

Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Format:
    """Size and channels of the images that a model takes."""

    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """[height, width, channels]."""
        return self.height, self.width, self.channels


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Images of a request in the format of a model.

    Attributes:
        images: Pixels, uint8 [n, height, width, channels].
        resized_from: Height and width of each image before it was resized. If None, it was not resized.
    """

    images: Array
    resized_from: list[Size | None]
