"""Stems: what precedes the first stage, up to its last convolution, and the pool that follows."""

from collections import OrderedDict
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.nets.architecture import Architecture
from resprobe_exporter.nets.layers import activation, conv, norm


class StemLayer(nn.Module):
    """A 3×3 layer of a deep stem, with norm and activation."""

    norm_after: ClassVar = {"conv": "bn"}

    def __init__(self, inputs: int, outputs: int, stride: int, shape: Architecture) -> None:
        super().__init__()
        self.conv, self.bn = conv(shape, inputs, outputs, 3, stride), norm(shape, outputs)
        self.active: Callable[[Tensor], Tensor] = activation(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, ⌈h / stride⌉, ⌈w / stride⌉]."""
        return self.active(self.bn(self.conv(x)))


def make_stem(shape: Architecture) -> tuple[nn.Module, nn.Conv2d]:
    """Creates the layers of a stem before its last convolution, and this one; of one layer there are none before it."""
    layout, inputs = shape.stages, shape.channels
    layers = OrderedDict[str, nn.Module]()
    *first, last = layout.stem_widths
    for index, width in enumerate(first):
        layers[f"layer{index}"] = StemLayer(inputs, width, 2 if index == 0 else 1, shape)
        inputs = width
    kernel, stride = (7, 2) if layout.stem == "7x7" else (3, 1)
    return nn.Sequential(layers), conv(shape, inputs, last, kernel, stride)


def make_pool(shape: Architecture) -> nn.Module:
    """Creates the 3×3 max pool after the stem, which halves height and width, or nothing."""
    layout = shape.stages
    if not layout.pool:
        return nn.Identity()
    return ZeroPaddedPool(shape) if layout.bit else nn.MaxPool2d(3, 2, padding=1)


class ZeroPaddedPool(nn.Module):
    """3×3 max pool of stride 2 over images with zeros around them, as Big Transfer has it before the first activation.

    A pad before the pool would do, but ONNX Runtime 1.31 fuses the two and then pads with the lowest number instead.
    """

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        lowest = torch.finfo(torch.float16).min  # a number in all precisions
        sides = [-(-side // 2) for side in (shape.height, shape.width)]
        padded = functional.pad(torch.full((1, 1, *sides), lowest), (1, 1, 1, 1))
        self.border: Tensor
        self.register_buffer("border", functional.max_pool2d(padded, 3, 2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, c, h, w] to [n, c, ⌈h / 2⌉, ⌈w / 2⌉]."""
        return torch.maximum(functional.max_pool2d(x, 3, 2, padding=1), self.border)
