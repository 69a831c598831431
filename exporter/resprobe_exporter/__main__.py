"""The command `exporter`: its options, and what it prints. Everything heavy is imported when a command runs."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from resprobe import _command
from rich.console import Console

if TYPE_CHECKING:
    from resprobe_exporter.build import Built

console = Console(highlight=False, soft_wrap=True)
DESCRIPTION = """Trains residual and plain nets, or takes checkpoints, and writes ONNX models for resprobe-server.

Examples:
  exporter build --depth 20
  exporter convert resnet56.th --depth 56 --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
  exporter inspect models/resnet20/1"""


@dataclass(frozen=True)
class Build:
    """Train a net and write it as a new version.

    Without --dataset it trains on scikit-learn's digits, which need no download.

    Examples:
      exporter build --depth 110
      exporter build --depth 20 --family plain
      exporter build --depth 56 --shortcut B --dataset cifar10 --data ~/cifar --name resnet56b
      exporter build --depth 20 --dataset folder --data ~/pictures --image-size 64
    """

    depth: int
    """Weighted layers: 6n+2, for example 20, 32, 44, 56, 110, 1202."""
    family: Literal["resnet", "plain", "preact"] = "resnet"
    """resnet: ReLU after the addition. plain: the same layers without shortcuts. preact: He et al. 2016."""
    shortcut: Literal["A", "B", "C"] = "A"
    """Where the number of channels changes: A pads with zeros, B projects. C projects everywhere."""
    dataset: Literal["digits", "cifar10", "cifar100", "folder"] = "digits"
    """What to train on. CIFAR in its binary layout; folder: one directory of pictures for each class."""
    data: Path | None = None
    """Directory of the data set's files."""
    image_size: int = 32
    """Height and width that the pictures of a folder are resized to."""
    mirror: bool | None = None
    """Whether training may mirror images. Default: for every data set but digits."""
    epochs: int | None = None
    """Passes over the training images; 0 writes an untrained net. Default: 15 for digits, 30 for the others."""
    seed: int = 0
    """The same seed gives the same weights again on the same machine."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes the GPU if there is one."""
    repository: Path = Path("models")
    """Model repository to write to."""
    name: str | None = None
    """Name of the model. Default: family and depth, for example resnet20."""
    json: bool = False
    """Print the result as JSON."""

    def run(self) -> None:
        """Trains and writes."""
        from resprobe_exporter import build, data, train
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.resnet import Architecture

        if self.epochs is not None and self.epochs < 0:
            raise ExporterError(f"--epochs {self.epochs}: expected 0 or more")
        if self.image_size < 1:
            raise ExporterError(f"--image-size {self.image_size}: expected 1 or more")
        architecture = Architecture(self.family, self.depth, self.shortcut)
        device = build.choose_device(self.device)
        loaded = data.load(self.dataset, self.data, self.image_size, self.mirror, self.seed)
        channels, height, width = loaded.shape
        architecture = replace(architecture, height=height, width=width, channels=channels, classes=len(loaded.classes))
        recipe = train.RECIPES[self.dataset]
        if self.epochs is not None:
            recipe = replace(recipe, epochs=self.epochs)
        name = self.name or f"{self.family}{self.depth}"
        built = build.build(architecture, loaded, recipe, self.seed, device, self.repository, name)
        _print_built(built, self.json)


@dataclass(frozen=True)
class Convert:
    """Write the weights of a checkpoint as a new version.

    Reads .th, .pt and .pth (tensors only) and .safetensors. With --dataset, accuracy and the baseline of the block
    statistics are measured and written too.

    Examples:
      exporter convert resnet56.th --depth 56 --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
      exporter convert net.safetensors --depth 20 --mean 0.5 --std 0.25 --channels 1 --height 28 --width 28
    """

    checkpoint: tyro.conf.Positional[Path]
    """File to read."""
    depth: int
    """Weighted layers: 6n+2."""
    mean: tuple[float, ...]
    """Mean of each channel that the net was trained with, for pixels in [0, 1]."""
    std: tuple[float, ...]
    """Standard deviation of each channel that the net was trained with."""
    family: Literal["resnet", "plain", "preact"] = "resnet"
    """Kind of net; see exporter build --help."""
    shortcut: Literal["A", "B", "C"] = "A"
    """Shortcut option; see exporter build --help."""
    height: int = 32
    """Of the images, in pixels."""
    width: int = 32
    """Of the images, in pixels."""
    channels: int = 3
    """Of the images: 1 (grey) or 3 (RGB)."""
    classes: str | None = None
    """Labels: a file with one on each line, or a,b,c. Default: those of --dataset, else 0, 1, 2 …"""
    dataset: Literal["digits", "cifar10", "cifar100", "folder"] | None = None
    """Measure accuracy and baseline on this data set's test images."""
    data: Path | None = None
    """Directory of the data set's files."""
    repository: Path = Path("models")
    """Model repository to write to."""
    name: str | None = None
    """Name of the model. Default: family and depth, for example resnet56."""
    json: bool = False
    """Print the result as JSON."""

    def run(self) -> None:
        """Converts and writes."""
        from resprobe_exporter import build
        from resprobe_exporter.publish import Preprocessing
        from resprobe_exporter.resnet import Architecture

        architecture = Architecture(
            self.family, self.depth, self.shortcut, height=self.height, width=self.width, channels=self.channels
        )
        test_set = None
        if self.dataset is not None:
            test_set = build.load_test_set(self.dataset, self.data, (self.height, self.width, self.channels))
        built = build.convert(
            architecture,
            self.checkpoint,
            Preprocessing(self.mean, self.std),
            None if self.classes is None else build.read_labels(self.classes),
            test_set,
            self.repository,
            self.name or f"{self.family}{self.depth}",
        )
        _print_built(built, self.json)


@dataclass(frozen=True)
class Inspect:
    """Show the blocks of a version.

    With --dataset, the standard deviation and the ratio that its images give stand beside the closed form and the
    baseline.

    Examples:
      exporter inspect models/resnet20/1
      exporter inspect models/resnet20/1 --dataset cifar10 --data ~/cifar --limit 1000
    """

    directory: tyro.conf.Positional[Path]
    """Of the version: models/NAME/VERSION."""
    dataset: Literal["digits", "cifar10", "cifar100", "folder"] | None = None
    """Measure on this data set's test images."""
    data: Path | None = None
    """Directory of the data set's files."""
    limit: int | None = None
    """Measure on that many images at the most."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Reads, measures if asked to, and prints."""
        from resprobe_exporter import build, describe, inspection

        model = describe.read(self.directory)
        measured = None
        if self.dataset is not None:
            shape = model.image.height, model.image.width, model.image.channels
            test_set = build.load_test_set(self.dataset, self.data, shape, self.limit)
            measured = inspection.measure_version(self.directory, model, test_set)
        blocks = inspection.rows(model, measured)
        if self.json:
            print(json.dumps(inspection.as_json(model, blocks, measured)))
        else:
            console.print(inspection.summary(model, measured), markup=False)
            if blocks:
                console.print(inspection.table(blocks, measured))


def _print_built(built: "Built", as_json: bool) -> None:
    model = built.description
    measured = model.evaluation if model.HasField("evaluation") else None
    if as_json:
        result = {
            "name": model.name,
            "version": model.version,
            "directory": str(built.directory),
            "parameters": model.parameter_count,
            "blocks": len(model.blocks),
            "accuracy": measured and measured.accuracy,
            "loss": measured and measured.loss,
            "training_seconds": round(built.training_seconds, 2),
            "seconds": round(built.seconds, 2),
        }
        print(json.dumps(result))
        return
    accuracy = f", accuracy {measured.accuracy:.4f} on {measured.dataset}" if measured else ""
    blocks = f"{len(model.blocks)} residual blocks" if model.blocks else "no residual blocks"
    console.print(f"{built.directory}: {blocks}{accuracy}, {built.seconds:.1f} s", markup=False)


def main() -> None:
    """Entry point of the command `exporter`."""
    _command.main("exporter", DESCRIPTION, (Build, Convert, Inspect))


if __name__ == "__main__":
    main()
