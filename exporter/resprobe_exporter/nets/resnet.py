"""Residual nets and their plain twins, as in He et al. 2015 (arXiv 1512.03385, Table 1 and §4.2) and 2016.

A net is a stem, stages of blocks and a linear layer; the first block of each stage but the first has stride 2.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from resprobe_exporter.nets.architecture import Architecture
from resprobe_exporter.nets.blocks import BasicBlock, PlainBlock, PreactBlock, ResidualBlock
from resprobe_exporter.nets.bottlenecks import Bottleneck, PreactBottleneck
from resprobe_exporter.nets.info import BlockInfo, Family, NetInfo, ShortcutKind, pooled_std
from resprobe_exporter.nets.layers import activation, norm
from resprobe_exporter.nets.shortcuts import PadShortcut
from resprobe_exporter.nets.stem import make_pool, make_stem

__all__ = ["Architecture", "ResNet", "response_std"]

# Blocks of each family: basic, and bottlenecks if it has them.
BLOCKS: Mapping[Family, tuple[type[nn.Module], type[nn.Module] | None]] = {
    "resnet": (BasicBlock, Bottleneck),
    "plain": (PlainBlock, None),
    "preact": (PreactBlock, PreactBottleneck),
}


class ResNet(nn.Module):
    """The net that an Architecture describes, with He initialisation.

    Its modules are named like the blocks: stage1.block0.conv1.
    """

    norm_after: ClassVar = {"conv1": "bn1"}

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        layout, is_preact = architecture.stages, architecture.family == "preact"
        self.stem, self.conv1 = make_stem(architecture)
        if not is_preact:
            self.bn1 = norm(architecture, layout.width)
        self.active = activation(architecture)
        self.pool = make_pool(architecture)
        inputs = layout.width
        for stage in range(len(layout.blocks)):
            self.add_module(f"stage{stage + 1}", _stage(architecture, stage, inputs))
            inputs = layout.outputs(stage)
        if is_preact:
            self.bn = norm(architecture, inputs)
        self.linear = nn.Linear(inputs, architecture.classes)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalised images [n, channels, height, width] to logits [n, classes]."""
        x = self.conv1(self.stem(x))
        if self.architecture.family != "preact":
            x = self.active(self.bn1(x))
        x = self.pool(x)
        for stage in range(len(self.architecture.stages.blocks)):
            x = self.get_submodule(f"stage{stage + 1}")(x)
        return self.classify(x)

    def classify(self, x: Tensor) -> Tensor:
        """Maps the output of the last block [n, channels, height, width] to logits [n, classes]."""
        if self.architecture.family == "preact":
            x = self.active(self.bn(x))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits

    @property
    def blocks(self) -> list[BlockInfo]:
        """Residual blocks from input to output; none for a plain net."""
        layout = self.architecture.stages
        strides = [layout.stem != "3x3", layout.pool]
        height, width = self.architecture.height, self.architecture.width
        for _ in range(sum(strides)):
            height, width = -(-height // 2), -(-width // 2)
        found = []
        for name, module in self.named_modules():
            if isinstance(module, ResidualBlock):
                height, width = -(-height // module.stride), -(-width // module.stride)
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


def _stage(architecture: Architecture, stage: int, inputs: int) -> nn.Sequential:
    """Creates the blocks of a stage, which counts from 0."""
    layout = architecture.stages
    basic, bottleneck = BLOCKS[architecture.family]
    block = bottleneck if layout.bottleneck and bottleneck is not None else basic
    outputs, layers = layout.outputs(stage), OrderedDict[str, nn.Module]()
    for index in range(layout.blocks[stage]):
        layers[f"block{index}"] = block(inputs, outputs, 2 if index == 0 and stage > 0 else 1, architecture)
        inputs = outputs
    return nn.Sequential(layers)


def _describe(name: str, block: ResidualBlock, height: int, width: int) -> BlockInfo:
    stage, index = map(int, re.findall(r"\d+", name))
    kinds: dict[type[nn.Module], ShortcutKind] = {nn.Identity: "identity", PadShortcut: "pad"}
    last = block.last_norm
    return BlockInfo(
        name=name,
        stage=stage,
        index=index,
        channels=block.outputs,
        height=height,
        width=width,
        stride=block.stride,
        shortcut=kinds.get(type(block.shortcut), "projection"),
        response_std=response_std(last) if isinstance(last, nn.BatchNorm2d) else None,
    )


def response_std(norm: nn.BatchNorm2d) -> float:
    """Returns the standard deviation of a batch norm's output, pooled over images, channels and positions."""
    return pooled_std(norm.weight.detach().cpu().numpy(), norm.bias.detach().cpu().numpy())
