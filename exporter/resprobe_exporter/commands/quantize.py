"""`exporter quantize`."""

import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from resprobe import datasets

from resprobe_exporter.commands.options import print_versions
from resprobe_exporter.commands.precision import CALIBRATION_IMAGES, read_images
from resprobe_exporter.quantization.settings import Method, Precision, Settings, Target


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
    calibration_images: int = CALIBRATION_IMAGES
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
        images = read_images(float32, self.precision, self.dataset, self.data, self.calibration_images)
        name = self.name or f"{self.model}-{self.precision}"
        version = quantize.quantise(float32, settings, *images, self.repository, name)
        print_versions(version, None, time.perf_counter() - begin, self.json)
