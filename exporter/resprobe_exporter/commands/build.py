"""`exporter build`."""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resprobe_exporter.commands.options import readout_images
from resprobe_exporter.commands.precision import SecondModel
from resprobe_exporter.commands.training_options import TrainingCommand
from resprobe_exporter.errors import ArchitectureError
from resprobe_exporter.nets.info import Family, Shortcut
from resprobe_exporter.nets.layout import Activation, Name, Stem, Strides

if TYPE_CHECKING:
    from resprobe_exporter.nets.architecture import Architecture
    from resprobe_exporter.nets.layout import Layout
    from resprobe_exporter.versions.build import Training

FOR_IMAGENET = {"stem": None, "groups": 1, "width_per_group": 64, "strides": "v1.5", "activation": "relu"}


@dataclass(frozen=True, kw_only=True)
class Build(TrainingCommand):
    """Train a net and write it as a new version.

    Without --dataset it trains on scikit-learn's digits, which need no download.

    Examples:
      exporter build --depth 110
      exporter build --depth 20 --family plain
      exporter build --depth 56 --shortcut B --dataset cifar10 --data ~/cifar --name resnet56b
      exporter build --depth 20 --dataset folder --data ~/pictures --image-size 64
      exporter build --net resnet18 --dataset folder --data ~/pictures --size 64
      exporter build --net resnet50 --groups 32 --width-per-group 4 --dataset folder --data ~/pictures --size 224
      exporter build --depth 110 --recipe paper --dataset cifar10 --data ~/cifar --checkpoint run --resume
      exporter build --depth 20 --precision int8
      exporter build --depth 20 --exits digits
      exporter build --depth 56 --log-file run.jsonl --record-every 50
      torchrun --standalone --nproc-per-node 2 -m resprobe_exporter build --depth 56 --dataset cifar10 --data ~/cifar
    """

    depth: int | None = None
    """Number of weighted layers of a net for CIFAR: 6n+2, for example 20, 32, 44, 56, 110, 1202. With --net, the depth
    that it must have."""
    net: Name | None = None
    """Net for ImageNet: of basic blocks (18, 34) or of bottlenecks (50, 101, 152). Default: the net for CIFAR that
    --depth names."""
    family: Family = "resnet"
    """Kind of net. resnet: ReLU after the addition (He et al. 2015). plain: the same layers without shortcuts. preact:
    batch norm and ReLU before each convolution (He et al. 2016)."""
    shortcut: Shortcut | None = None
    """Shortcut option. A: where the number of channels changes, take every second position and add zero channels on
    both sides. A-append: add the zero channels after the others, as fb.resnet.torch does. A-avgpool, A-append-avgpool:
    average 2×2 positions. B: a projection where the number of channels changes. B-avgpool: average 2×2 positions, then
    project, as ResNet-D does. C: projections everywhere. Default: A, or B with --net."""
    stem: Stem | None = None
    """First layers. 3x3: one layer of stride 1, without a max pool, for small images. 7x7: one layer of stride 2 and a
    max pool. deep: three 3×3 layers of stride 2 together and a max pool, as in ResNet-D; tiered: the same, with fewer
    channels in the first. Default: 3x3, or 7x7 with --net."""
    groups: int = 1
    """Groups of the 3×3 layers of bottlenecks: 32 makes a ResNeXt."""
    width_per_group: int = 64
    """Channels of each group in the first stage: 4 for ResNeXt-50 32×4d, 128 for Wide ResNet-50-2."""
    strides: Strides = "v1.5"
    """Layer of a bottleneck that has its stride. v1: the first 1×1 layer, as in He et al. 2015. v1.5: the 3×3 layer, as
    in torchvision."""
    activation: Activation = "relu"
    """Non-linearity."""

    def run(self) -> None:
        """Trains and writes."""
        from resprobe_exporter.versions.build import build

        begin = time.perf_counter()
        self.check()
        second = SecondModel(self.precision, self.dataset, self.data)
        second.check()
        training = self._training()
        net = training.architecture
        readouts = readout_images(self.readouts, self.data, (net.height, net.width, net.channels), self.seed)
        exits = self.exit_options(self.data, (net.height, net.width, net.channels), self.seed)
        version = build(training, self.running(), self.repository, self.name or net.name, readouts, exits)
        if version is not None:
            second.finish(version, begin, self.repository, self.json)

    def _training(self) -> "Training":
        """Reads the data, and fits the net to them."""
        from resprobe_exporter import progress
        from resprobe_exporter.nets.preprocessing import PRESETS
        from resprobe_exporter.training import data, recipes
        from resprobe_exporter.versions.build import Training

        architecture = self._architecture()
        recipe = recipes.choose(self.recipe, self.dataset, self.epochs)
        loaded = data.load(
            self.dataset,
            self.data,
            self.image_size,
            self.mirrored,
            self.seed,
            mean=recipe.mean,
            validation=self.validation,
            pictures=PRESETS.get(self.preprocess),
        )
        for note in loaded.notes:
            progress.note(note)
        channels, height, width = loaded.shape
        architecture = replace(architecture, height=height, width=width, channels=channels, classes=len(loaded.classes))
        return Training(architecture, loaded, recipe, self.seed)

    def _architecture(self) -> "Architecture":
        """Returns the shape of the net, for images and classes that are not known yet.

        Raises:
            ArchitectureError: The options contradict each other, or such a net cannot be built.
        """
        from resprobe_exporter.nets.architecture import Architecture

        layout = self._layout()
        depth = self.depth if layout is None else layout.depth
        if depth is None:
            raise ArchitectureError("give --depth N for a net for CIFAR, or --net for one for ImageNet")
        if self.depth not in (None, depth):
            raise ArchitectureError(
                f"--net {self.net} has depth {depth}, and --depth says {self.depth}; give one of them"
            )
        return Architecture(self.family, depth, self.shortcut or ("A" if self.net is None else "B"), layout=layout)

    def _layout(self) -> "Layout | None":
        """Returns the layout of a net for ImageNet. If None, it is the net for CIFAR that the depth names."""
        from resprobe_exporter.nets.layout import NETS

        if self.net is None:
            for option, default in FOR_IMAGENET.items():
                if (value := getattr(self, option)) != default:
                    raise ArchitectureError(
                        f"--{option.replace('_', '-')} {value} needs --net, for example --net resnet50"
                    )
            return None
        known = NETS[self.net]
        stem = self.stem or known.stem
        return replace(
            known,
            stem=stem,
            pool=stem != "3x3",
            groups=self.groups,
            width_per_group=self.width_per_group,
            strides=self.strides,
            activation=self.activation,
        )
