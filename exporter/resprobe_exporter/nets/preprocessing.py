"""What a net was trained to see: normalised pixels, and the middle of pictures. Presets of ImageNet's."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resprobe._pictures.resize_and_crop import ResizeAndCrop

from resprobe_exporter.errors import ExporterError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

if TYPE_CHECKING:  # an ONNX file is imported without torch
    from torch import Tensor


@dataclass(frozen=True)
class Pictures:
    """How pictures become images: the shorter side is resized, and the centre is cut out in the size of the images.

    Attributes:
        crop_fraction: Shorter side of the images over that of the resized picture. Not used if `resize` is given.
        resize: Length in pixels that the shorter side is resized to. If None, `crop_fraction` gives it.
        interpolation: bilinear or bicubic.
    """

    crop_fraction: float = 0.875
    resize: int | None = None
    interpolation: str = "bilinear"

    def for_images(self, height: int, width: int) -> ResizeAndCrop:
        """Returns the steps for images of this size. Raises ExporterError for values that fit no images."""
        if not 0 < self.crop_fraction <= 1:
            raise ExporterError(f"--crop-fraction {self.crop_fraction:g}: expected a number above 0, at most 1")
        resize = self.resize
        if resize is None:  # as in transforms_factory of timm
            resize = math.floor(min(height, width) / self.crop_fraction)
        if resize < 1:
            raise ExporterError(f"--resize {resize}: expected 1 pixel or more")
        return ResizeAndCrop(resize, self.interpolation)


# torchvision's for ImageNet (references/classification/presets.py), and timm's defaults (timm/data/config.py).
PRESETS: Mapping[str, Pictures] = {"imagenet": Pictures(), "timm-bicubic": Pictures(interpolation="bicubic")}


@dataclass(frozen=True)
class Preprocessing:
    """Normalisation of pixels in [0, 1]: the mean is subtracted, then the rest is divided by the standard deviation.

    Attributes:
        mean: A value for each channel [c], or for each pixel [c, height, width].
        std: Standard deviation, in the shape of the mean.
        pictures: How pictures become images, which servers and clients do. If None, they are resized as a whole.
    """

    mean: "Sequence[float] | Tensor"
    std: "Sequence[float] | Tensor"
    pictures: Pictures | None = None

    def resize_and_crop(self, height: int, width: int) -> ResizeAndCrop | None:
        """Returns how pictures become images of this size. If None, they are resized as a whole."""
        return None if self.pictures is None else self.pictures.for_images(height, width)

    def check(self, channels: int) -> None:
        """Raises ExporterError if it does not fit images with so many channels."""
        self.check_values()
        for option, values in self._options():
            if len(values) != channels:
                raise ExporterError(f"--{option} has {len(values)} values; expected {channels}, one a channel")

    def check_values(self) -> None:
        """Raises ExporterError for values that fit no images."""
        if len(self.mean) != len(self.std):
            raise ExporterError(f"--mean has {len(self.mean)} values and --std {len(self.std)}; expected one a channel")
        for option, values in self._options():
            if strange := [float(value) for value in values if not math.isfinite(value)]:
                raise ExporterError(f"--{option} {strange[0]}: expected numbers of 0 to 1, for pixels in [0, 1]")
        if (smallest := min(map(float, self.std))) <= 0:
            raise ExporterError(f"--std {smallest}: expected numbers above 0")
        for option, values in self._options():
            if max(map(float, values)) > 1 or min(map(float, values)) < 0:
                given, divided = (" ".join(f"{float(one) / by:.6g}" for one in values) for by in (1, 255))
                raise ExporterError(
                    f"--{option} {given}: expected numbers of 0 to 1, for pixels in [0, 1]; if they are for pixels in "
                    f"[0, 255], give --{option} {divided}"
                )

    def as_lists(self) -> tuple[list[float], list[float]]:
        """Returns mean and standard deviation as a number for each channel. Raises TypeError if they are of pixels."""
        return list(map(float, self.mean)), list(map(float, self.std))

    def _options(self) -> "tuple[tuple[str, Sequence[float] | Tensor], ...]":
        return ("mean", self.mean), ("std", self.std)
