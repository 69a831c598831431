"""Heads at the end of a part: two residual blocks in the size of the net's last block, and a linear layer.

Linear heads on means, as for readouts, are right too rarely in the first half of a net for CIFAR to decide much. The
pooling is that of Kaya et al. 2019 (arXiv 1810.07052, §3.2): means and maxima.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.graph.utils import constant

DROPPED = 0.1  # share of the channels that a head does not see while it is fitted


@dataclass(frozen=True)
class HeadShape:
    """Sizes of a head.

    Attributes:
        channels: Channels of what it reads.
        stride: Stride of its first convolution.
        width: Channels of its block.
        classes: Number of classes.
    """

    channels: int
    stride: int
    width: int
    classes: int

    @property
    def kernel(self) -> int:
        """Size of the kernel of the first convolution: an odd number that leaves no position out."""
        return max(3, self.stride + 1 - self.stride % 2)


class ExitHead(nn.Module):
    """Head that maps [n, channels, h, w] to scores [n, classes]."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape, width = shape, shape.width
        self.drop = nn.Dropout2d(DROPPED)
        self.conv1 = nn.Conv2d(shape.channels, width, shape.kernel, shape.stride, shape.kernel // 2, bias=False)
        self.conv2, self.conv3, self.conv4 = (nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(3))
        self.bn1, self.bn2, self.bn3, self.bn4 = (nn.BatchNorm2d(width) for _ in range(4))
        self.project = nn.Conv2d(shape.channels, width, 1, shape.stride, bias=False)
        self.linear = nn.Linear(2 * width, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores before the softmax."""
        x = self.drop(x)
        branch = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        x = functional.relu(branch + self.project(x))
        branch = self.bn4(self.conv4(functional.relu(self.bn3(self.conv3(x)))))
        x = functional.relu(branch + x)
        scores: Tensor = self.linear(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))
        return scores


def add_head(graph: ir.Graph, value: ir.Value, head: ExitHead, name: str) -> ir.Value:
    """Adds a head that reads a value of a graph, with its batch norms folded into the convolutions.

    Args:
        graph: Graph to change.
        value: What the head reads, [n, channels, h, w].
        head: Trained head.
        name: Prefix of the names of its weights.

    Returns:
        The scores, float32 [n, classes].
    """
    tape, shape = ir.tape.Tape(graph), head.shape

    def weight(kind: str, tensor: Tensor) -> ir.Value:
        return constant(graph, f"{name}/{kind}", tensor.detach().cpu().numpy().astype(np.float32))

    def conv(kind: str, source: ir.Value, weights: Tensor, bias: Tensor, stride: int) -> ir.Value:
        pad = weights.shape[-1] // 2
        inputs = [source, weight(f"{kind}/weights", weights), weight(f"{kind}/bias", bias)]
        return tape.op("Conv", inputs, {"strides": [stride] * 2, "pads": [pad] * 4, "kernel_shape": weights.shape[2:]})

    inner = tape.op("Relu", [conv("conv1", value, *_folded(head.conv1, head.bn1), shape.stride)])
    branch = conv("conv2", inner, *_folded(head.conv2, head.bn2), 1)
    shortcut = conv("project", value, head.project.weight, torch.zeros(shape.width), shape.stride)
    first = tape.op("Relu", [tape.op("Add", [branch, shortcut])])
    inner = tape.op("Relu", [conv("conv3", first, *_folded(head.conv3, head.bn3), 1)])
    total = tape.op("Relu", [tape.op("Add", [conv("conv4", inner, *_folded(head.conv4, head.bn4), 1), first])])
    pooled = tape.op("Concat", [tape.op(f"Global{kind}Pool", [total]) for kind in ("Average", "Max")], {"axis": 1})
    weights, bias = weight("weights", head.linear.weight), weight("bias", head.linear.bias)
    return tape.op("Gemm", [tape.op("Flatten", [pooled]), weights, bias], {"transB": 1})


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Returns weights and bias of a convolution with the norm that follows it."""
    fused = nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    if fused.bias is None:
        raise TypeError("a convolution that a batch norm was folded into has a bias")
    return fused.weight, fused.bias
