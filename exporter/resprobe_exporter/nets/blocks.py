"""Basic blocks of residual and plain nets, as modules whose names end up in the exported graph.

`norm_after` of a module names its convolutions that a norm reads: a batch norm can be folded into them.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from resprobe_exporter.nets.architecture import Architecture
from resprobe_exporter.nets.layers import activation, conv, norm
from resprobe_exporter.nets.shortcuts import make_shortcut


class Addition(nn.Module):
    """F(x) + s(x), as a module of its own, so that the addition has a name in the exported graph."""

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        """Adds two tensors [n, c, h, w]."""
        return branch + shortcut


class ResidualBlock(nn.Module, ABC):
    """Block with a branch F(x) and a shortcut s(x).

    Attributes:
        inputs: Channels of x.
        outputs: Channels of the sum.
        stride: Stride of branch and shortcut.
        shortcut: Module that computes s(x).
        add: Module that adds.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shape: Architecture) -> None:
        super().__init__()
        self.inputs, self.outputs, self.stride = inputs, outputs, stride
        self.active = activation(shape)

    def end(self, shape: Architecture) -> None:
        """Adds shortcut and addition, after the layers of the branch."""
        self.shortcut = make_shortcut(shape, self.inputs, self.outputs, self.stride)
        self.add = Addition()

    @property
    @abstractmethod
    def last_norm(self) -> nn.Module | None:
        """Norm that ends the branch. If None, a convolution does."""


class PlainBlock(nn.Module):
    """Two 3×3 layers, each with batch norm and activation; no shortcut."""

    norm_after: ClassVar = {"conv1": "bn1", "conv2": "bn2"}

    def __init__(self, inputs: int, outputs: int, stride: int, shape: Architecture) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(shape, inputs, outputs, 3, stride), norm(shape, outputs)
        self.conv2, self.bn2 = conv(shape, outputs, outputs), norm(shape, outputs)
        self.active = activation(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, h / stride, w / stride]."""
        x = self.active(self.bn1(self.conv1(x)))
        return self.active(self.bn2(self.conv2(x)))


class BasicBlock(ResidualBlock):
    """relu(F(x) + s(x)) with F = bn(conv(relu(bn(conv(x))))): He et al. 2015, Fig. 2."""

    norm_after: ClassVar = {"conv1": "bn1", "conv2": "bn2"}

    def __init__(self, inputs: int, outputs: int, stride: int, shape: Architecture) -> None:
        super().__init__(inputs, outputs, stride, shape)
        self.conv1, self.bn1 = conv(shape, inputs, outputs, 3, stride), norm(shape, outputs)
        self.conv2, self.bn2 = conv(shape, outputs, outputs), norm(shape, outputs)
        self.end(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, h / stride, w / stride]."""
        branch = self.active(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        return self.active(self.add(branch, self.shortcut(x)))

    @property
    def last_norm(self) -> nn.Module:
        """Norm that ends the branch."""
        return self.bn2


class PreactBlock(ResidualBlock):
    """F(x) + s(x) with F = conv(relu(bn(conv(relu(bn(x)))))): He et al. 2016, Fig. 1b.

    Where the shape changes, the shortcut starts from the first activation, as the branch does.
    """

    norm_after: ClassVar = {"conv1": "bn2"}

    def __init__(self, inputs: int, outputs: int, stride: int, shape: Architecture) -> None:
        super().__init__(inputs, outputs, stride, shape)
        self.bn1, self.conv1 = norm(shape, inputs), conv(shape, inputs, outputs, 3, stride)
        self.bn2, self.conv2 = norm(shape, outputs), conv(shape, outputs, outputs)
        self.end(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, h / stride, w / stride]."""
        active = self.active(self.bn1(x))
        branch = self.conv2(self.active(self.bn2(self.conv1(active))))
        total: Tensor = self.add(branch, self.shortcut(x if isinstance(self.shortcut, nn.Identity) else active))
        return total

    @property
    def last_norm(self) -> None:
        """Nothing: a convolution ends the branch."""
        return None
