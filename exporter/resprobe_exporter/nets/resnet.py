"""Residual nets for small images, and their plain twins, as in He et al. 2015 (arXiv 1512.03385, §4.2) and 2016.

A net is a 3×3 convolution and three stages of n blocks with 16, 32 and 64 channels; the first block of stages 2 and 3
has stride 2. That makes 6n+2 weighted layers. Left out: bottlenecks and the nets for ImageNet.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar, get_args

from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.errors import ArchitectureError
from resprobe_exporter.nets.blocks import BLOCKS, WIDTHS, BasicBlock, PadShortcut, PreactBlock, conv3x3
from resprobe_exporter.nets.info import BlockInfo, Family, NetInfo, Shortcut, ShortcutKind, pooled_std


@dataclass(frozen=True)
class Architecture:
    """Everything that decides a net's shape.

    Attributes:
        family: resnet (activation after the addition), plain (the same layers, no shortcuts) or preact (batch norm
            and activation before each convolution, He et al. 2016, arXiv 1603.05027).
        depth: Weighted layers, 6n+2.
        shortcut: Where a block changes the number of channels: A zero-padded, B projected; C projected everywhere.
            A-append has its zero channels after the others, A-avgpool averages where A takes every second position.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        channels: Channels of the images: 1 (grey) or 3 (RGB).
        classes: Number of classes.
    """

    family: Family = "resnet"
    depth: int = 20
    shortcut: Shortcut = "A"
    height: int = 32
    width: int = 32
    channels: int = 3
    classes: int = 10

    def __post_init__(self) -> None:
        """Raises ArchitectureError for a net that cannot be built."""
        if self.depth < 8 or (self.depth - 2) % 6:
            below = max(8, (self.depth - 2) // 6 * 6 + 2)
            raise ArchitectureError(f"depth {self.depth} is not 6n+2; the nearest that are: {below} and {below + 6}")
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

    @property
    def blocks_per_stage(self) -> int:
        """Number of blocks in each stage: n of 6n+2."""
        return (self.depth - 2) // 6


class ResNet(nn.Module):
    """The net that an Architecture describes, with He initialisation.

    Its modules are named like the blocks: stage1.block0.conv1.
    """

    norm_after: ClassVar = {"conv1": "bn1"}

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        block = BLOCKS[architecture.family]
        self.conv1 = conv3x3(architecture.channels, WIDTHS[0])
        if architecture.family != "preact":
            self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        inputs = WIDTHS[0]
        for stage, width in enumerate(WIDTHS, 1):
            layers = OrderedDict[str, nn.Module]()
            for index in range(architecture.blocks_per_stage):
                stride = 2 if index == 0 and stage > 1 else 1
                layers[f"block{index}"] = block(inputs, width, stride, architecture.shortcut)
                inputs = width
            self.add_module(f"stage{stage}", nn.Sequential(layers))
        if architecture.family == "preact":
            self.bn = nn.BatchNorm2d(inputs)
        self.linear = nn.Linear(inputs, architecture.classes)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalised images [n, channels, height, width] to logits [n, classes]."""
        x = self.conv1(x)
        if self.architecture.family != "preact":
            x = functional.relu(self.bn1(x))
        for stage in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"stage{stage}")(x)
        if self.architecture.family == "preact":
            x = functional.relu(self.bn(x))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits

    @property
    def blocks(self) -> list[BlockInfo]:
        """Residual blocks from input to output; none for a plain net."""
        height, width = self.architecture.height, self.architecture.width
        found = []
        for name, module in self.named_modules():
            if isinstance(module, BasicBlock | PreactBlock):
                stride = module.conv1.stride[0]
                height, width = -(-height // stride), -(-width // stride)
                found.append(_describe(name, module, height, width))
        return found

    @property
    def info(self) -> NetInfo:
        """Description of the net."""
        shape = self.architecture
        image = shape.height, shape.width, shape.channels
        return NetInfo(shape.family, shape.depth, self.parameter_count, image, self.blocks)

    @property
    def parameter_count(self) -> int:
        """Number of trainable parameters, as Table 6 of the paper counts them."""
        return sum(parameter.numel() for parameter in self.parameters())


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _describe(name: str, block: BasicBlock | PreactBlock, height: int, width: int) -> BlockInfo:
    stage, index = map(int, re.findall(r"\d+", name))
    kinds: dict[type[nn.Module], ShortcutKind] = {nn.Identity: "identity", PadShortcut: "pad"}
    return BlockInfo(
        name=name,
        stage=stage,
        index=index,
        channels=block.conv2.out_channels,
        height=height,
        width=width,
        stride=block.conv1.stride[0],
        shortcut=kinds.get(type(block.shortcut), "projection"),
        response_std=response_std(block.bn2) if isinstance(block, BasicBlock) else None,
    )


def response_std(norm: nn.BatchNorm2d) -> float:
    """Returns the standard deviation of a batch norm's output, pooled over images, channels and positions."""
    return pooled_std(norm.weight.detach().cpu().numpy(), norm.bias.detach().cpu().numpy())
