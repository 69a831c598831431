"""`exporter convert`."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from resprobe_exporter.commands.options import ExitCommand, ImportCommand, readout_images
from resprobe_exporter.commands.precision import SecondModel
from resprobe_exporter.nets.info import Family, Shortcut
from resprobe_exporter.nets.layout import Activation, Pool, Strides


@dataclass(frozen=True)
class Convert(ExitCommand, ImportCommand):
    """Write the weights of a checkpoint as a new version.

    Reads .th, .pt, .pth, .ckpt and .tar (tensors only) and .safetensors. The net is read off names and shapes: ResNets,
    Wide ResNets, ResNeXts, ResNet-Ds and pre-activation ResNets of torchvision and timm, and nets for CIFAR. What
    weights do not tell is printed and stored, and has an option. With --dataset, accuracy and the baseline of the block
    statistics are measured and written too.

    Examples:
      exporter convert resnet56.th --name cifar56 --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
      exporter convert resnet50.pth --preprocess imagenet
      exporter convert resnet50-caffe.pth --strides v1 --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
      exporter convert ema.pth --weights ema --shortcut A-append --mean 0.49 0.48 0.45 --std 0.25 0.24 0.26
      exporter convert net.safetensors --mean 0.5 --std 0.25 --height 28 --width 28
      exporter convert resnet56.th --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225 --precision float16
      exporter convert resnet56.th --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225 --exits cifar10 --data ~/cifar
    """

    checkpoint: tyro.conf.Positional[Path]
    """Checkpoint to read."""
    weights: str | None = None
    """Weights to read from a file with several: ema, raw, or the key that they are under."""
    net: str | None = None
    """Name of the net that the file must hold, for example resnet50, wide_resnet50_2, resnext50_32x4d, resnet50d or
    resnetv2_50. Default: that of the file."""
    depth: int | None = None
    """Number of weighted layers that the file must have. Default: those of the file."""
    family: Family | None = None
    """Kind of net: resnet, plain or preact. The file does not tell plain from resnet. Default: that of the file, which
    is resnet for a plain net."""
    shortcut: Shortcut | None = None
    """Shortcut option. A: take every second position and add zero channels on both sides. A-append: add them after the
    others, as fb.resnet.torch does. A-avgpool, A-append-avgpool: average 2×2 positions. B-avgpool: average 2×2
    positions, then project, as ResNet-D does. Default: that of the file, or A if it has no projections."""
    strides: Strides | None = None
    """Layer of a bottleneck that has its stride. v1: the first 1×1 layer, as in He et al. 2015. v1.5: the 3×3 layer, as
    in torchvision and timm. The file does not tell them apart. Default: v1.5."""
    pool: Pool | None = None
    """Pool after the stem, which the file does not tell: a 3×3 max pool of stride 2, or none. Default: max, unless the
    stem is a single 3×3 layer."""
    activation: Activation | None = None
    """Non-linearity, which the file does not tell. Default: relu."""
    height: int | None = None
    """Height of the images in pixels, which the file does not tell. Default: --width or, without it, 224 for nets that
    begin with a stride or a max pool and 32 for others."""
    width: int | None = None
    """Width of the images in pixels. Default: --height."""
    channels: int | None = None
    """Number of channels that the file must have: 1 (grey) or 3 (RGB). Default: those of the file."""
    name: str | None = None
    """Name of the model. Default: that of the net, for example resnet56."""

    def run(self) -> None:
        """Converts and writes."""
        from resprobe_exporter.checkpoints import reading, state_dict
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.versions import convert

        begin = time.perf_counter()
        preprocessing = self.preprocessing()
        if preprocessing is None:
            raise ExporterError(
                "a net needs the normalisation that it was trained with: give --preprocess imagenet, or --mean "
                "and --std"
            )
        second = SecondModel(self.precision, self.dataset, self.data)
        second.check()
        weights = state_dict.read(self.checkpoint, self.weights)
        fields = dataclasses.fields(reading.NetOptions)
        options = reading.NetOptions(**{field.name: getattr(self, field.name) for field in fields})
        net = reading.architecture_of(weights, options)
        shape = net.height, net.width, net.channels
        test_set, readouts = self.test_set(shape), readout_images(self.readouts, self.data, shape)
        exits = self.exit_options(self.data, shape)
        version = convert.convert(
            weights, net, preprocessing, self.labels(), test_set, self.repository, self.name, readouts, exits
        )
        second.finish(version, begin, self.repository, self.json)
