"""Blocks of residual and plain nets, as modules whose names end up in the exported graph.

`norm_after` of a module names its convolutions that a batch norm reads: the two can be folded into one.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.nets.info import Shortcut

WIDTHS = (16, 32, 64)  # channels of the three stages


def as_image(values: Sequence[float] | Tensor) -> Tensor:
    """Returns a value for each channel [c], or for each pixel [c, h, w], as float32 that broadcasts over images."""
    tensor = torch.as_tensor(values, dtype=torch.float32)
    return tensor.view(-1, 1, 1) if tensor.ndim == 1 else tensor


class Addition(nn.Module):
    """F(x) + s(x), as a module of its own, so that the addition has a name in the exported graph."""

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        """Adds two tensors [n, c, h, w]."""
        return branch + shortcut


class PadShortcut(nn.Module):
    """Option A: every `stride`-th position of x, with zero channels added on both sides; no parameters.

    With `append`, all zero channels follow x. With `pool`, `stride`×`stride` positions are averaged, not sampled.
    """

    def __init__(self, stride: int, added: int, append: bool = False, pool: bool = False) -> None:
        super().__init__()
        self.stride, self.before, self.pool = stride, 0 if append else added // 2, pool
        self.after = added - self.before

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, c, h, w] to [n, c + added, ⌈h / stride⌉, ⌈w / stride⌉]."""
        if not self.pool:
            x = x[:, :, :: self.stride, :: self.stride]
        elif self.stride > 1:
            x = functional.avg_pool2d(x, self.stride, ceil_mode=True)
        return functional.pad(x, (0, 0, 0, 0, self.before, self.after))


class Projection(nn.Module):
    """Options B and C: a 1×1 convolution, with a batch norm in post-activation nets."""

    norm_after: ClassVar = {"conv": "bn"}

    def __init__(self, inputs: int, outputs: int, stride: int, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, ⌈h / stride⌉, ⌈w / stride⌉]."""
        projected: Tensor = self.bn(self.conv(x))
        return projected


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Creates a padded 3×3 convolution without a bias: a batch norm follows or precedes it."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def make_shortcut(option: Shortcut, inputs: int, outputs: int, stride: int, *, norm: bool) -> nn.Module:
    """Creates the shortcut of a block; with `norm`, a projection has a batch norm, as in post-activation nets."""
    grows = stride != 1 or inputs != outputs
    if option == "C" or (option == "B" and grows):
        return Projection(inputs, outputs, stride, norm)
    if not grows:
        return nn.Identity()
    return PadShortcut(stride, outputs - inputs, append="append" in option, pool="avgpool" in option)


class PlainBlock(nn.Module):
    """Two 3×3 layers, each with batch norm and ReLU; no shortcut."""

    norm_after: ClassVar = {"conv1": "bn1", "conv2": "bn2"}

    def __init__(self, inputs: int, outputs: int, stride: int, option: Shortcut) -> None:
        del option  # a plain net has no shortcuts; the argument keeps the blocks interchangeable
        super().__init__()
        self.conv1, self.bn1 = conv3x3(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv3x3(outputs, outputs), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, h / stride, w / stride]."""
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)))


class BasicBlock(nn.Module):
    """relu(F(x) + s(x)) with F = bn(conv(relu(bn(conv(x))))): He et al. 2015, Fig. 2."""

    norm_after: ClassVar = {"conv1": "bn1", "conv2": "bn2"}

    def __init__(self, inputs: int, outputs: int, stride: int, option: Shortcut) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv3x3(outputs, outputs), nn.BatchNorm2d(outputs)
        self.shortcut = make_shortcut(option, inputs, outputs, stride, norm=True)
        self.add = Addition()

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, h / stride, w / stride]."""
        branch = functional.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        return functional.relu(self.add(branch, self.shortcut(x)))


class PreactBlock(nn.Module):
    """F(x) + s(x) with F = conv(relu(bn(conv(relu(bn(x)))))): He et al. 2016, Fig. 1b.

    Where the shape changes, the shortcut starts from the first activation, as the branch does.
    """

    norm_after: ClassVar = {"conv1": "bn2"}

    def __init__(self, inputs: int, outputs: int, stride: int, option: Shortcut) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv3x3(inputs, outputs, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), conv3x3(outputs, outputs)
        self.shortcut = make_shortcut(option, inputs, outputs, stride, norm=False)
        self.add = Addition()

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, h / stride, w / stride]."""
        active = functional.relu(self.bn1(x))
        branch = self.conv2(functional.relu(self.bn2(self.conv1(active))))
        total: Tensor = self.add(branch, self.shortcut(x if isinstance(self.shortcut, nn.Identity) else active))
        return total


BLOCKS = {"resnet": BasicBlock, "plain": PlainBlock, "preact": PreactBlock}
