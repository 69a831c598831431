"""Layers that blocks are made of: convolutions, norms and activations, as a net's layout wants them."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.nets.architecture import Architecture
from resprobe_exporter.nets.layout import BIT_GROUPS, Activation

ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
}
STANDARDISING = 1e-8  # added to the variance of a filter's weights, as in Big Transfer


def as_image(values: Sequence[float] | Tensor) -> Tensor:
    """Returns a value for each channel [c], or for each pixel [c, h, w], as float32 that broadcasts over images."""
    tensor = torch.as_tensor(values, dtype=torch.float32)
    return tensor.view(-1, 1, 1) if tensor.ndim == 1 else tensor


class StandardisedConv(nn.Conv2d):
    """Convolution whose filters have mean 0 and variance 1 when they are used (Qiao et al. 2019, arXiv 1903.10520)."""

    is_settled = False  # whether the weights are standardised already

    def settle(self) -> None:
        """Standardises the weights for good."""
        if not self.is_settled:
            self.weight.data = self._standardised().data
            self.is_settled = True

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, inputs, h, w] to [n, outputs, ⌈h / stride⌉, ⌈w / stride⌉]."""
        weight = self.weight if self.is_settled else self._standardised()
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def _standardised(self) -> Tensor:
        axes = (1, 2, 3)
        centred = self.weight - self.weight.mean(axes, keepdim=True)
        return centred / (centred.square().mean(axes, keepdim=True) + STANDARDISING).sqrt()


def conv(
    shape: Architecture, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Creates a convolution, padded so that only its stride shrinks images, and without a bias: it has a norm."""
    kind = StandardisedConv if shape.stages.bit else nn.Conv2d
    return kind(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)


def norm(shape: Architecture, channels: int) -> nn.Module:
    """Creates a norm of so many channels."""
    return nn.GroupNorm(BIT_GROUPS, channels) if shape.stages.bit else nn.BatchNorm2d(channels)


def activation(shape: Architecture) -> Callable[[Tensor], Tensor]:
    """Returns the non-linearity."""
    return ACTIVATIONS[shape.stages.activation]
