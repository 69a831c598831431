"""Layouts of nets: stem, stages and blocks, as values without torch.

He et al. 2015 (arXiv 1512.03385) have two: Table 1 for ImageNet, §4.2 for CIFAR. Widths and groups are those of Wide
ResNet (Zagoruyko & Komodakis 2016, as torchvision builds it) and ResNeXt (Xie et al. 2016, arXiv 1611.05431).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from resprobe_exporter.errors import ArchitectureError

Name = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
Stem = Literal["3x3", "7x7", "deep", "tiered"]
Strides = Literal["v1", "v1.5"]
Activation = Literal["relu", "silu", "gelu"]
Pool = Literal["max", "none"]
EXPANSION = 4  # channels of a bottleneck's sum over those of its 3×3 layer, before width_per_group and groups
BIT_GROUPS = 32  # of a group norm in Big Transfer


@dataclass(frozen=True)
class Layout:
    """Stem, stages and blocks of a net.

    Attributes:
        blocks: Number of blocks in each stage. All stages but the first begin with stride 2.
        bottleneck: Whether blocks are bottlenecks (1×1, 3×3, 1×1) or basic (3×3, 3×3).
        width: Channels of the stem. Stage s, from 0, has width · 2^s channels, and four times as many with bottlenecks.
        stem: First layers. 3x3: one layer of stride 1. 7x7: one of stride 2. deep: three 3×3 layers, the first of
            stride 2 (ResNet-D, He et al. 2018, arXiv 1812.01187). tiered: the same with fewer channels in the first.
        pool: Whether a 3×3 max pool of stride 2 follows the stem.
        groups: Groups of a bottleneck's 3×3 layer: the cardinality of ResNeXt.
        width_per_group: Channels of each of these groups in a stage of width 64; 128 makes a Wide ResNet.
        strides: Where bottlenecks have their stride. v1: in the first 1×1 layer, as in He et al. 2015. v1.5: in the 3×3
            layer, as torchvision and timm have it.
        activation: Non-linearity.
        bit: Whether convolutions are standardised, norms are of 32 groups of channels, and the max pool is padded with
            zeros, as in Big Transfer (Kolesnikov et al. 2019, arXiv 1912.11370).
    """

    blocks: tuple[int, ...]
    bottleneck: bool = False
    width: int = 64
    stem: Stem = "7x7"
    pool: bool = True
    groups: int = 1
    width_per_group: int = 64
    strides: Strides = "v1.5"
    activation: Activation = "relu"
    bit: bool = False

    def __post_init__(self) -> None:
        """Raises ArchitectureError for a layout that cannot be built."""
        for name, value, allowed in (
            ("stem", self.stem, get_args(Stem)),
            ("strides", self.strides, get_args(Strides)),
            ("activation", self.activation, get_args(Activation)),
        ):
            if value not in allowed:
                raise ArchitectureError(f"{name} {value} is not one of {', '.join(allowed)}")
        if not self.blocks or min(*self.blocks, 1, self.groups, self.width, self.width_per_group) < 1:
            raise ArchitectureError(
                f"{self.blocks} blocks, {self.groups} groups, {self.width_per_group} channels a group; expected at "
                "least 1 of each"
            )
        if not self.bottleneck and (self.groups, self.width_per_group) != (1, 64):
            raise ArchitectureError(
                f"{self.groups} groups of {self.width_per_group} channels: basic blocks have 1 of 64; only bottlenecks "
                "have others"
            )

    @property
    def depth(self) -> int:
        """Number of weighted layers; as in published names, a deep stem counts as one."""
        return 2 + (3 if self.bottleneck else 2) * sum(self.blocks)

    @property
    def shrinks(self) -> bool:
        """Whether stem and pool shrink the images, as in nets for ImageNet."""
        return self.pool or self.stem != "3x3"

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Channels of the stem's layers."""
        half, width = self.width // 2, self.width
        return {"deep": (half, half, width), "tiered": (3 * width // 8, half, width)}.get(self.stem, (width,))

    def of(self, blocks: tuple[int, ...]) -> "Layout":
        """Returns the same layout with other numbers of blocks."""
        return replace(self, blocks=blocks)

    def outputs(self, stage: int) -> int:
        """Returns the channels of a stage's sums; stages count from 0."""
        return (self.width << stage) * (EXPANSION if self.bottleneck else 1)

    def inner(self, outputs: int) -> int:
        """Returns the channels of the 3×3 layer of a bottleneck whose sum has so many channels."""
        return int(outputs // EXPANSION * (self.width_per_group / 64)) * self.groups

    def name(self, family: str, averaged: bool) -> str:
        """Returns the name that such a net is published under, for example resnext50_32x4d.

        Args:
            family: resnet, plain or preact.
            averaged: Whether shortcuts average before they project.
        """
        depth = self.depth
        letter = {"deep": "d" if averaged else "c", "tiered": "t"}.get(self.stem, "")
        if family == "preact":
            return f"resnetv2_{depth}x{self.width // 64}_bit" if self.bit else f"resnetv2_{depth}{letter}"
        if family == "resnet" and self.groups > 1:
            return f"resnext{depth}{letter}_{self.groups}x{self.width_per_group}d"
        if family == "resnet" and self.width_per_group != 64:
            return f"wide_resnet{depth}{letter}_{self.width_per_group / 64:g}"
        return f"{family}{depth}{letter}"


NETS: Mapping[Name, Layout] = {  # He et al. 2015, Table 1
    "resnet18": Layout((2, 2, 2, 2)),
    "resnet34": Layout((3, 4, 6, 3)),
    "resnet50": Layout((3, 4, 6, 3), bottleneck=True),
    "resnet101": Layout((3, 4, 23, 3), bottleneck=True),
    "resnet152": Layout((3, 8, 36, 3), bottleneck=True),
}
CIFAR = Layout((1, 1, 1), width=16, stem="3x3", pool=False)  # He et al. 2015, §4.2, with one block in each stage
