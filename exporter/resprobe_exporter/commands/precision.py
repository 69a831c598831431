"""`--precision` of commands that write a float32 version: a quantised model made of it, in the same run."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resprobe import Error, datasets

from resprobe_exporter.commands.options import print_versions
from resprobe_exporter.quantization.settings import Precision, Settings

if TYPE_CHECKING:
    from resprobe_exporter.quantization.calibration import Calibration
    from resprobe_exporter.quantization.source import Source
    from resprobe_exporter.versions.test_set import LabelledImages
    from resprobe_exporter.versions.writer import NewVersion

CALIBRATION_IMAGES = 512


@dataclass(frozen=True)
class SecondModel:
    """Quantised model that a command writes after a float32 version.

    Attributes:
        precision: What to quantise to. If None, there is no second model.
        dataset: Data set to calibrate on and to test with. If None, there is none.
        data: Directory of the data set's files.
    """

    precision: Precision | None
    dataset: datasets.Name | None
    data: Path | None

    def check(self) -> None:
        """Checks before the float32 version is made that there are images to calibrate on.

        Raises:
            ExporterError: int8 is asked for without a data set.
            DatasetError: The training images of the data set cannot be read.
        """
        if self.precision != "int8":
            return
        if self.dataset is None:
            from resprobe_exporter.errors import ExporterError

            raise ExporterError("--precision int8 needs training images to calibrate on: give --dataset and --data")
        datasets.load(self.dataset, self.data, "train")

    def finish(self, version: "NewVersion", begin: float, root: Path, as_json: bool) -> None:
        """Quantises a new version if that was asked for, and prints all that was written.

        Args:
            version: Float32 version.
            begin: Start of the command, by `time.perf_counter`.
            root: Model repository.
            as_json: Whether to print JSON.

        Raises:
            ExporterError: It cannot be quantised; the float32 version stays.
        """
        made = None if self.precision is None else self._quantise(version, self.precision, root)
        print_versions(version, made, time.perf_counter() - begin, as_json)

    def _quantise(self, version: "NewVersion", precision: Precision, root: Path) -> "NewVersion":
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.quantization import quantize, source

        try:
            float32 = source.read(version.directory)
            found = read_images(float32, precision, self.dataset, self.data, CALIBRATION_IMAGES)
            name = f"{version.description.name}-{precision}"
            return quantize.quantise(float32, Settings(precision), *found, root, name)
        except Error as error:
            raise ExporterError(f"{version.directory} was written, but not in {precision}: {error}") from error


def read_images(
    float32: "Source", precision: Precision, dataset: datasets.Name | None, data: Path | None, count: int
) -> "tuple[Calibration | None, LabelledImages | None]":
    """Reads images to calibrate on and to test with. If None, there are none, or none are needed."""
    from resprobe_exporter.quantization import calibration

    if dataset is None:
        return None, None
    seed = float32.description.provenance.seed
    images = calibration.load(dataset, data, float32.image, count, seed, float32.pictures)
    return (images[0] if precision == "int8" else None), images[1]
