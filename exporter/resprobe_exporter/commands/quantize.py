"""`exporter quantize`."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from resprobe import datasets

from resprobe_exporter.commands.options import print_version
from resprobe_exporter.quantization.settings import Method, Precision, Settings, Target

if TYPE_CHECKING:
    from resprobe_exporter.quantization.calibration import Calibration
    from resprobe_exporter.quantization.source import Source
    from resprobe_exporter.versions.test_set import LabelledImages


@dataclass(frozen=True)
class Quantize:
    """Make an int8 or float16 version of a float32 version, and measure what that costs, block by block.

    int8 needs a data set: ranges of tensors are read off some of its training images, and accuracy and noise are
    measured on its test images. Probe and lesion graphs are made of the quantised graph.

    Examples:
      exporter quantize resnet56 --dataset cifar10 --data ~/cifar
      exporter quantize resnet56 --dataset cifar10 --data ~/cifar --max-drop 0.005 --keep-float auto
      exporter quantize resnet56 --dataset cifar10 --data ~/cifar --keep-float stage1.block0 stage3.block8
      exporter quantize resnet56 --precision float16
    """

    model: tyro.conf.Positional[str]
    """Name of the model to quantise."""
    version: int | None = None
    """Version of the model. Default: the highest."""
    precision: Precision = "int8"
    """What the convolutions compute with."""
    dataset: datasets.Name | None = None
    """Data set to calibrate on (its training images) and to test with (its test images)."""
    data: Path | None = None
    """Directory of the data set's files. Not used for digits."""
    calibration_images: int = 512
    """Number of training images that ranges of tensors are read off. For int8."""
    method: Method = "minmax"
    """How the range of a tensor is chosen: minmax takes the smallest and largest number, entropy and percentile leave
    out rare ones. For int8."""
    target: Target = "cpu"
    """What runs the graphs. cpu: unsigned tensors, additions in whole numbers. tensorrt: signed tensors with zero point
    0, and of an addition only the shortcut is quantised. For int8."""
    max_drop: float | None = None
    """Maximum drop of accuracy on the test images, for example 0.005. A larger one is an error, and nothing is written.
    Default: any."""
    keep_float: tuple[str, ...] = ()
    """Blocks that stay in float32, by name. auto: the noisiest ones, as few as --max-drop needs. For int8."""
    name: str | None = None
    """Name of the new model. Default: the name of the model and the precision, for example resnet56-int8."""
    repository: Path = Path("models")
    """Model repository to read from and to write to."""
    json: bool = False
    """Print the result as JSON."""

    def run(self) -> None:
        """Quantises, measures and writes."""
        from resprobe_exporter.quantization import quantize, source
        from resprobe_exporter.versions import repository

        begin = time.perf_counter()
        settings = Settings(self.precision, self.method, self.target, self.keep_float, self.max_drop)
        settings.check()
        float32 = source.read(repository.find_version(self.repository, self.model, self.version))
        calibration, test_set = self._images(float32)
        name = self.name or f"{self.model}-{self.precision}"
        version = quantize.quantise(float32, settings, calibration, test_set, self.repository, name)
        print_version(version, time.perf_counter() - begin, self.json)

    def _images(self, float32: "Source") -> "tuple[Calibration | None, LabelledImages | None]":
        """Reads images to calibrate on and to test with. If None, there are none, or none are needed."""
        from resprobe_exporter.quantization import calibration

        if self.dataset is None:
            return None, None
        seed = float32.description.provenance.seed
        images = calibration.load(self.dataset, self.data, float32.image, self.calibration_images, seed)
        return (images[0] if self.precision == "int8" else None), images[1]
