"""`exporter build`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from resprobe_exporter.commands.common import print_built


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
        print_built(built, self.json)
