"""Options that say what a net was trained to see: presets, and each of their values."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from resprobe_exporter.nets.preprocessing import Pictures, Preprocessing

Preset = Literal["imagenet", "timm-bicubic", "none"]


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions:
    """Options of commands that import a net."""

    preprocess: Preset | None = None
    """What the net was trained to see. imagenet: torchvision's way, the shorter side of a picture is resized (bilinear)
    and the middle 0.875 of it are cut out (256 and 224 pixels), with ImageNet's mean and deviation. timm-bicubic: the
    same with bicubic interpolation, timm's default. none: pictures are resized as a whole. Servers and clients then do
    it with every picture. The options below change single values. Default: none."""
    mean: tuple[float, ...] = ()
    """Mean of each channel that the net was trained with, for pixels in [0, 1]. 0 for a net that takes pixels without
    normalisation. Default: that of --preprocess."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel, for pixels in [0, 1]. 1 for a net that takes pixels in [0, 1], 0.00392157 for
    one that takes pixels in [0, 255]. Default: that of --preprocess."""
    resize: int | None = None
    """Length in pixels that the shorter side of a picture is resized to before its centre is cut out, for example 232.
    Default: the size of the images divided by --crop-fraction."""
    crop_fraction: float | None = None
    """Share of the resized picture's shorter side that is cut out, for example 0.9 or 0.95. Default: 0.875, if pictures
    are cut."""
    interpolation: Literal["bilinear", "bicubic"] | None = None
    """Interpolation of the resizing. Default: that of --preprocess, or bilinear."""

    def preprocessing(self) -> "Preprocessing | None":
        """Returns what the net was trained to see, checked before any file is read. If None, nothing was given.

        Raises:
            ExporterError: Options do not go together, or a value fits no images.
        """
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.nets.preprocessing import IMAGENET_MEAN, IMAGENET_STD, PRESETS, Preprocessing

        if bool(self.mean) != bool(self.std):
            raise ExporterError("--mean and --std must be given together")
        pictures = self._pictures()
        mean, std = self.mean, self.std
        if not mean and self.preprocess in PRESETS:
            mean, std = IMAGENET_MEAN, IMAGENET_STD
        if not mean:
            if pictures is not None:
                raise ExporterError("pictures are for nets that take pixels: give --preprocess, or --mean and --std")
            return None
        found = Preprocessing(mean, std, pictures)
        found.check_values()
        return found

    def _pictures(self) -> "Pictures | None":
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.nets.preprocessing import PRESETS, Pictures

        if self.resize is not None and self.crop_fraction is not None:
            raise ExporterError("--resize and --crop-fraction say the same in two ways; give one of them")
        given = {
            key: value
            for key, value in vars(self).items()
            if key in ("resize", "crop_fraction", "interpolation") and value is not None
        }
        preset = PRESETS.get(self.preprocess or "none")
        if given and (self.preprocess == "none" or (preset is None and given.keys() == {"interpolation"})):
            options = ", ".join(f"--{key.replace('_', '-')}" for key in given)
            raise ExporterError(f"{options}: pictures are not cut; give --preprocess imagenet or --resize")
        if not given and preset is None:
            return None
        found: Pictures = replace(preset or Pictures(), **given)
        found.for_images(1024, 1024)  # raises for values that fit no images
        return found
