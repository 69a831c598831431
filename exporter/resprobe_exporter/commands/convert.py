"""`exporter convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from resprobe_exporter.commands.common import Taken, print_built


@dataclass(frozen=True)
class Convert(Taken):
    """Write the weights of a checkpoint as a new version.

    Reads .th, .pt, .pth, .ckpt and .tar (tensors only) and .safetensors. Depth, shortcut option and channels are read
    off the file. With --dataset, accuracy and the baseline of the block statistics are measured and written too.

    Examples:
      exporter convert resnet56.th --name cifar56 --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
      exporter convert ema.pth --weights ema --shortcut A-append --mean 0.49 0.48 0.45 --std 0.25 0.24 0.26
      exporter convert net.safetensors --mean 0.5 --std 0.25 --height 28 --width 28
    """

    checkpoint: tyro.conf.Positional[Path]
    """File to read."""
    mean: tuple[float, ...]
    """Mean of each channel that the net was trained with, for pixels in [0, 1]."""
    std: tuple[float, ...]
    """Standard deviation of each channel that the net was trained with."""
    weights: str | None = None
    """Which weights, where the file holds several: ema, raw or the key that they stand under."""
    depth: int | None = None
    """Weighted layers, to check the file against. Default: those of the file."""
    family: Literal["resnet", "plain", "preact"] | None = None
    """Kind of net; see exporter build --help. Default: that of the file; a plain net has a resnet's names: say so."""
    shortcut: Literal["A", "A-append", "A-avgpool", "A-append-avgpool", "B", "C"] | None = None
    """Shortcut option. Default: that of the file, or A where it has no projections. Its variants: A takes every second
    position and adds zero channels on both sides; A-append adds them after the others, as fb.resnet.torch does;
    A-avgpool and A-append-avgpool average 2×2 positions instead."""
    height: int = 32
    """Size of the images in pixels."""
    width: int = 32
    """Size of the images in pixels."""
    channels: int | None = None
    """Channels of the images, to check the file against: 1 (grey) or 3 (RGB). If None, those of the file."""
    name: str | None = None
    """Name of the model. Default: family and depth, for example resnet56."""

    def run(self) -> None:
        """Converts and writes."""
        from resprobe_exporter.importing import state_dict
        from resprobe_exporter.versions import convert
        from resprobe_exporter.versions.writer import Preprocessing

        preprocessing = Preprocessing(self.mean, self.std)
        preprocessing.check_values()  # what can be said before the file is read
        wanted = convert.Wanted(
            self.weights, self.family, self.depth, self.shortcut, self.channels, self.height, self.width
        )
        weights = state_dict.read(self.checkpoint, wanted.weights)
        net = convert.architecture_of(weights, wanted)
        test_set = self.test_set((net.height, net.width, net.channels))
        built = convert.convert(weights, net, preprocessing, self.labels(), test_set, self.repository, self.name)
        print_built(built, self.json)
