"""Shortcuts s(x) of blocks: nothing, zero channels, or a projection (options A, B and C of He et al. 2015, §4.1)."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.nets.architecture import Architecture
from resprobe_exporter.nets.layers import conv, norm


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
    """Options B and C: a 1×1 convolution, with a norm in post-activation nets.

    With `pool`, `stride`×`stride` positions are averaged first, and the convolution has stride 1 (ResNet-D).
    """

    norm_after: ClassVar = {"conv": "bn"}

    def __init__(self, inputs: int, outputs: int, stride: int, shape: Architecture, pool: bool = False) -> None:
        super().__init__()
        self.pool: nn.Module = nn.Identity()
        if pool and stride > 1:
            self.pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)
        self.conv = conv(shape, inputs, outputs, 1, 1 if pool else stride)
        self.bn: nn.Module = nn.Identity() if shape.family == "preact" else norm(shape, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, ⌈h / stride⌉, ⌈w / stride⌉]."""
        projected: Tensor = self.bn(self.conv(self.pool(x)))
        return projected


def make_shortcut(shape: Architecture, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Creates the shortcut of a block."""
    option, grows = shape.shortcut, stride != 1 or inputs != outputs
    if option == "C" or (option.startswith("B") and grows):
        return Projection(inputs, outputs, stride, shape, pool="avgpool" in option)
    if not grows:
        return nn.Identity()
    return PadShortcut(stride, outputs - inputs, append="append" in option, pool="avgpool" in option)
