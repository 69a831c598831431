"""Options that several subcommands have, and the line or JSON about a new version."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from resprobe import datasets
from rich.console import Console

from resprobe_exporter.commands.preprocess import PreprocessOptions
from resprobe_exporter.nets.info import ImageShape
from resprobe_exporter.quantization.settings import Precision

if TYPE_CHECKING:
    import torch

    from resprobe_exporter.exits.write import ExitOptions
    from resprobe_exporter.readouts.images import TrainingImages
    from resprobe_exporter.versions.test_set import LabelledImages
    from resprobe_exporter.versions.writer import NewVersion

Device = Literal["auto", "cpu", "cuda"]
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class ExitCommand:
    """Options of commands that can cut a net for early exits."""

    exits: datasets.Name | None = None
    """Data set on whose training images heads are fitted in the middle of the net, where images may leave it early. Its
    files are in --data. The weights of the net stay as they are. Default: the net is not cut."""
    exit_blocks: tuple[str, ...] = ()
    """Blocks after which images may leave early, for example stage2.block4. Default: the last one in the first
    half of the stage before the last."""
    exit_epochs: int = 12
    """Passes over the training images that the heads of early exits are fitted in."""
    exit_loss: float = 0.003
    """Accuracy that the recommended threshold for early exits may lose, on training images that the heads have not
    seen."""

    def exit_options(self, data: Path | None, shape: ImageShape, seed: int = 0) -> "ExitOptions | None":
        """Reads the training images, of this height, width and channels. If None, the net is not to be cut.

        Raises:
            ExporterError: The images are of another size, or a number is out of its range.
        """
        if self.exits is None:
            return None
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.exits.write import ExitOptions
        from resprobe_exporter.readouts import images

        if self.exit_epochs < 0:
            raise ExporterError(f"--exit-epochs {self.exit_epochs}: expected 0 or more")
        if not 0 <= self.exit_loss < 1:
            raise ExporterError(f"--exit-loss {self.exit_loss}: expected a share of the images, at least 0 and below 1")
        found = images.load(self.exits, data, shape, seed, images.MOST_EXITS)
        return ExitOptions(found, self.exit_blocks, self.exit_epochs, self.exit_loss)


@dataclass(frozen=True, kw_only=True)
class ImportCommand(PreprocessOptions):
    """Options of commands that import a net."""

    classes: Annotated[str | None, tyro.conf.arg(aliases=["--class-names"])] = None
    """Labels of the classes: a file with one label on each line, a,b,c, or imagenet for the 1,000 of ImageNet. Default:
    those of --dataset or, without one, ImageNet's if there are 1,000 and pictures are cut by --preprocess, or else
    numbers."""
    dataset: datasets.Name | None = None
    """Data set whose test images accuracy and baseline are measured on. Default: neither is measured."""
    data: Path | None = None
    """Directory of the data set's files. Not used for digits."""
    readouts: datasets.Name | None = None
    """Data set on whose training images linear heads are fitted, which read classes off the blocks before the last
    stage. Its files are in --data. Default: no heads are fitted."""
    precision: Precision | None = None
    """Precision of a second model to write, made of the first: NAME-int8, which needs training images of --dataset to
    calibrate on, or NAME-float16. Default: the float32 model alone."""
    repository: Path = Path("models")
    """Model repository to write to."""
    json: bool = False
    """Print the result as JSON."""

    def labels(self) -> tuple[str, ...] | None:
        """Returns the names of the classes. If None, none were given."""
        from resprobe_exporter.classes.class_names import read_labels

        return None if self.classes is None else read_labels(self.classes)

    def test_set(self, shape: ImageShape) -> "LabelledImages | None":
        """Returns images of this height, width and channels to measure with. If None, none were asked for."""
        from resprobe_exporter.versions import test_set

        if self.dataset is None:
            return None
        preprocessing = self.preprocessing()
        cut = None if preprocessing is None else preprocessing.resize_and_crop(*shape[:2])
        return test_set.load(self.dataset, self.data, shape, preprocessing=cut)


def readout_images(
    dataset: datasets.Name | None, data: Path | None, shape: ImageShape, seed: int = 0
) -> "TrainingImages | None":
    """Returns training images of this height, width and channels to fit heads on. If None, none were asked for."""
    from resprobe_exporter.readouts import images

    return None if dataset is None else images.load(dataset, data, shape, seed)


def choose_device(name: Device) -> "torch.device":
    """Returns the device of this name; `auto` is CUDA if there is a GPU.

    Raises:
        ExporterError: There is no such device.
    """
    import torch

    from resprobe_exporter.errors import ExporterError

    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ExporterError("--device cuda: PyTorch finds no GPU here; use --device cpu")
    return torch.device(("cuda" if found else "cpu") if name == "auto" else name)


def print_versions(version: "NewVersion", quantised: "NewVersion | None", seconds: float, as_json: bool) -> None:
    """Prints what was written: a line for each version, or JSON of the version with the other one inside.

    Args:
        version: New version.
        quantised: Version that was made of it. If None, there is none.
        seconds: Seconds that the command took.
        as_json: Whether to print JSON.
    """
    if as_json:
        result = _json(version, seconds)
        if quantised is not None:
            result["quantised"] = _json(quantised, seconds)
        print(json.dumps(result))
        return
    for one in (version, *(() if quantised is None else (quantised,))):
        console.print(_line(one, seconds), markup=False)


def _json(version: "NewVersion", seconds: float) -> dict[str, Any]:
    model = version.description
    measured = model.evaluation if model.HasField("evaluation") else None
    return {
        "name": model.name,
        "version": model.version,
        "directory": str(version.directory),
        "precision": model.precision,
        "parameters": model.parameter_count,
        "blocks": len(model.blocks),
        "accuracy": measured and measured.accuracy,
        "loss": measured and measured.loss,
        "training_seconds": round(version.training_seconds, 2),
        "seconds": round(seconds, 2),
    }


def _line(version: "NewVersion", seconds: float) -> str:
    model = version.description
    measured = model.evaluation if model.HasField("evaluation") else None
    accuracy = f", accuracy {measured.accuracy:.4f} on {measured.dataset}" if measured else ""
    blocks = f"{len(model.blocks)} residual blocks" if model.blocks else "no residual blocks"
    return f"{version.directory}: {blocks}{accuracy}, {seconds:.1f} s"
