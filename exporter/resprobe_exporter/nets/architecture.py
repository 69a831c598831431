"""Everything that decides a net's shape, as a value without torch."""

from dataclasses import dataclass
from typing import get_args

from resprobe_exporter.errors import ArchitectureError
from resprobe_exporter.nets.info import Family, Shortcut
from resprobe_exporter.nets.layout import CIFAR, Layout

IMAGENET_SIZE, CIFAR_SIZE = 224, 32  # pixels


@dataclass(frozen=True)
class Architecture:
    """Everything that decides a net's shape.

    Attributes:
        family: resnet (activation after the addition), plain (the same layers, no shortcuts) or preact (norm and
            activation before each convolution, He et al. 2016, arXiv 1603.05027).
        depth: Weighted layers; 6n+2 without a layout.
        shortcut: Where a block changes the number of channels: A zero-padded, B projected; C projected everywhere.
            A-append has its zero channels after the others, A-avgpool averages where A takes every second position, and
            so does B-avgpool before it projects (ResNet-D).
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        channels: Channels of the images: 1 (grey) or 3 (RGB).
        classes: Number of classes.
        layout: Stem, stages and blocks. If None, those of He et al. 2015, §4.2, for CIFAR: a 3×3 layer and three
            stages of n basic blocks with 16, 32 and 64 channels.
    """

    family: Family = "resnet"
    depth: int = 20
    shortcut: Shortcut = "A"
    height: int = 32
    width: int = 32
    channels: int = 3
    classes: int = 10
    layout: Layout | None = None

    def __post_init__(self) -> None:
        """Raises ArchitectureError for a net that cannot be built."""
        self._check_depth()
        for name, value, allowed in (
            ("family", self.family, get_args(Family)),
            ("shortcut", self.shortcut, get_args(Shortcut)),
            ("channels", self.channels, (1, 3)),
        ):
            if value not in allowed:
                raise ArchitectureError(f"{name} {value} is not one of {', '.join(map(str, allowed))}")
        if min(self.height, self.width) < 1 or self.classes < 2:
            raise ArchitectureError(
                f"an image of {self.height}×{self.width} pixels and {self.classes} classes; "
                "at least 1×1 and 2 are needed"
            )
        if self.family == "plain" and self.stages.bottleneck:
            raise ArchitectureError(
                f"plain nets have basic blocks, and {self.stages.name('resnet', False)} bottlenecks"
            )
        if self.family != "preact" and self.stages.bit:
            raise ArchitectureError(f"nets of Big Transfer are pre-activation nets, not {self.family}")

    @property
    def stages(self) -> Layout:
        """Layout of the net, whether it was given or follows from the depth."""
        n = (self.depth - 2) // 6
        return CIFAR.of((n, n, n)) if self.layout is None else self.layout

    @property
    def name(self) -> str:
        """Name that such a net is published under, for example resnet20 or wide_resnet50_2."""
        if self.layout is None:
            return f"{self.family}{self.depth}"
        return self.layout.name(self.family, averaged="avgpool" in self.shortcut)

    def _check_depth(self) -> None:
        if self.layout is not None:
            if self.depth != self.layout.depth:
                raise ArchitectureError(f"depth {self.depth}: blocks of {self.layout.blocks} make {self.layout.depth}")
        elif self.depth < 8 or (self.depth - 2) % 6:
            below = max(8, (self.depth - 2) // 6 * 6 + 2)
            raise ArchitectureError(f"depth {self.depth} is not 6n+2; the nearest that are: {below} and {below + 6}")
