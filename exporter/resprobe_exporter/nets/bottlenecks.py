"""Bottleneck blocks: 1×1, 3×3 and 1×1 layers (He et al. 2015, Fig. 5; He et al. 2016, before activation)."""

from typing import ClassVar

from torch import Tensor, nn

from resprobe_exporter.nets.architecture import Architecture
from resprobe_exporter.nets.blocks import ResidualBlock
from resprobe_exporter.nets.layers import conv, norm


def _strides(shape: Architecture, stride: int) -> tuple[int, int]:
    """Returns the strides of the first 1×1 and of the 3×3 layer."""
    return (stride, 1) if shape.stages.strides == "v1" else (1, stride)


class Bottleneck(ResidualBlock):
    """relu(F(x) + s(x)), F of three layers, each with a norm; the 3×3 layer may have groups (ResNeXt)."""

    norm_after: ClassVar = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3"}

    def __init__(self, inputs: int, outputs: int, stride: int, shape: Architecture) -> None:
        super().__init__(inputs, outputs, stride, shape)
        inner, (first, second) = shape.stages.inner(outputs), _strides(shape, stride)
        self.conv1, self.bn1 = conv(shape, inputs, inner, 1, first), norm(shape, inner)
        self.conv2, self.bn2 = conv(shape, inner, inner, 3, second, shape.stages.groups), norm(shape, inner)
        self.conv3, self.bn3 = conv(shape, inner, outputs, 1), norm(shape, outputs)
        self.end(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, h / stride, w / stride]."""
        branch = self.active(self.bn1(self.conv1(x)))
        branch = self.active(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        return self.active(self.add(branch, self.shortcut(x)))

    @property
    def last_norm(self) -> nn.Module:
        """Norm that ends the branch."""
        return self.bn3


class PreactBottleneck(ResidualBlock):
    """F(x) + s(x), F of three layers, each with norm and activation before it.

    Where the shape changes, the shortcut starts from the first activation, as the branch does.
    """

    norm_after: ClassVar = {"conv1": "bn2", "conv2": "bn3"}

    def __init__(self, inputs: int, outputs: int, stride: int, shape: Architecture) -> None:
        super().__init__(inputs, outputs, stride, shape)
        inner, (first, second) = shape.stages.inner(outputs), _strides(shape, stride)
        self.bn1, self.conv1 = norm(shape, inputs), conv(shape, inputs, inner, 1, first)
        self.bn2, self.conv2 = norm(shape, inner), conv(shape, inner, inner, 3, second, shape.stages.groups)
        self.bn3, self.conv3 = norm(shape, inner), conv(shape, inner, outputs, 1)
        self.end(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, h / stride, w / stride]."""
        active = self.active(self.bn1(x))
        branch = self.conv2(self.active(self.bn2(self.conv1(active))))
        branch = self.conv3(self.active(self.bn3(branch)))
        total: Tensor = self.add(branch, self.shortcut(x if isinstance(self.shortcut, nn.Identity) else active))
        return total

    @property
    def last_norm(self) -> None:
        """Nothing: a convolution ends the branch."""
        return None
