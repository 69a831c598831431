"""`exporter convert`."""

import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from resprobe_exporter.commands.options import ImportCommand, readout_images
from resprobe_exporter.commands.precision import SecondModel
from resprobe_exporter.nets.info import Family, Shortcut


@dataclass(frozen=True)
class Convert(ImportCommand):
    """Write the weights of a checkpoint as a new version.

    Reads .th, .pt, .pth, .ckpt and .tar (tensors only) and .safetensors. Depth, shortcut option and channels are read
    off the file. With --dataset, accuracy and the baseline of the block statistics are measured and written too.

    Examples:
      exporter convert resnet56.th --name cifar56 --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
      exporter convert ema.pth --weights ema --shortcut A-append --mean 0.49 0.48 0.45 --std 0.25 0.24 0.26
      exporter convert net.safetensors --mean 0.5 --std 0.25 --height 28 --width 28
      exporter convert resnet56.th --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225 --precision float16
    """

    checkpoint: tyro.conf.Positional[Path]
    """Checkpoint to read."""
    mean: tuple[float, ...]
    """Mean of each channel that the net was trained with, for pixels in [0, 1]."""
    std: tuple[float, ...]
    """Standard deviation of each channel that the net was trained with, for pixels in [0, 1]."""
    weights: str | None = None
    """Weights to read from a file with several: ema, raw, or the key that they are under."""
    depth: int | None = None
    """Number of weighted layers that the file must have. Default: those of the file."""
    family: Family | None = None
    """Kind of net: resnet, plain or preact. The file does not tell plain from resnet. Default: that of the file, which
    is resnet for a plain net."""
    shortcut: Shortcut | None = None
    """Shortcut option. A: take every second position and add zero channels on both sides. A-append: add them after the
    others, as fb.resnet.torch does. A-avgpool, A-append-avgpool: average 2×2 positions. Default: that of the file, or A
    if it has no projections."""
    height: int = 32
    """Height of the images in pixels."""
    width: int = 32
    """Width of the images in pixels."""
    channels: int | None = None
    """Number of channels that the file must have: 1 (grey) or 3 (RGB). Default: those of the file."""
    name: str | None = None
    """Name of the model. Default: family and depth, for example resnet56."""

    def run(self) -> None:
        """Converts and writes."""
        from resprobe_exporter.importing import state_dict
        from resprobe_exporter.nets.preprocessing import Preprocessing
        from resprobe_exporter.versions import convert

        begin = time.perf_counter()
        preprocessing = Preprocessing(self.mean, self.std)
        preprocessing.check_values()  # before the file is read
        second = SecondModel(self.precision, self.dataset, self.data)
        second.check()
        weights = state_dict.read(self.checkpoint, self.weights)
        options = convert.NetOptions(self.family, self.depth, self.shortcut, self.channels, self.height, self.width)
        net = convert.architecture_of(weights, options)
        shape = net.height, net.width, net.channels
        test_set, readouts = self.test_set(shape), readout_images(self.readouts, self.data, shape)
        version = convert.convert(
            weights, net, preprocessing, self.labels(), test_set, self.repository, self.name, readouts
        )
        second.finish(version, begin, self.repository, self.json)
