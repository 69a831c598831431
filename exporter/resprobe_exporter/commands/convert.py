"""`exporter convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from resprobe_exporter.commands.common import Taken, print_built


@dataclass(frozen=True)
class Convert(Taken):
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
    name: str | None = None
    """Name of the model. Default: family and depth, for example resnet56."""

    def run(self) -> None:
        """Converts and writes."""
        from resprobe_exporter import build
        from resprobe_exporter.publish import Preprocessing
        from resprobe_exporter.resnet import Architecture

        architecture = Architecture(
            self.family, self.depth, self.shortcut, height=self.height, width=self.width, channels=self.channels
        )
        built = build.convert(
            architecture,
            self.checkpoint,
            Preprocessing(self.mean, self.std),
            self.labels(),
            self.test_set((self.height, self.width, self.channels)),
            self.repository,
            self.name or f"{self.family}{self.depth}",
        )
        print_built(built, self.json)
