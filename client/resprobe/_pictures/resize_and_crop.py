"""How nets of ImageNet see a picture: its shorter side is resized, and the centre is cut out.

The arithmetic is that of torchvision's Resize and CenterCrop on PIL images, to the last byte.
"""

from dataclasses import dataclass

from PIL import Image

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class ResizeAndCrop:
    """Preprocessing of pictures that a net was trained for; the size that is cut out is that of its images.

    Attributes:
        resize: Length in pixels that the shorter side is resized to.
        interpolation: bilinear or bicubic, with antialiasing as Pillow does it.
    """

    resize: int
    interpolation: str = "bilinear"

    def check(self) -> None:
        """Raises ValueError if a description says what cannot be done here."""
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation {self.interpolation!r}: expected {' or '.join(INTERPOLATIONS)}")
        if self.resize < 1:
            raise ValueError(f"resize {self.resize}: expected 1 pixel or more")

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Returns width and height after the resizing: the longer side is cut to a whole number, not rounded."""
        short, long = min(width, height), max(width, height)
        new_long = int(self.resize * long / short)
        return (self.resize, new_long) if width <= height else (new_long, self.resize)

    def apply(self, picture: Image.Image, height: int, width: int) -> Image.Image:
        """Returns the centre of the resized picture, of mode L or RGB, in this size; black where it has no pixels.

        Raises:
            ValueError: As `check` does.
        """
        self.check()
        resized = picture.resize(self.resized(*picture.size), INTERPOLATIONS[self.interpolation])
        left, top = _start(resized.width, width), _start(resized.height, height)
        return resized.crop((left, top, left + width, top + height))

    def describe(self, height: int, width: int) -> str:
        """Returns the steps in words, for images of this size."""
        return f"shorter side to {self.resize} ({self.interpolation}), centre {height}×{width}"


def _start(size: int, wanted: int) -> int:
    """Returns where the centre begins. As in torchvision, halves become even numbers; those of paddings go down."""
    return round((size - wanted) / 2) if size >= wanted else -((wanted - size) // 2)
