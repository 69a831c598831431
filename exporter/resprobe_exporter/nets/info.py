"""Values that describe a net without its weights: its kind, its shortcuts and blocks, its depth and size.

Values only, without torch, so that commands and graph passes can import them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Family = Literal["resnet", "plain", "preact"]
Shortcut = Literal["A", "A-append", "A-avgpool", "A-append-avgpool", "B", "B-avgpool", "C"]  # what a net is built with
ShortcutKind = Literal["identity", "pad", "projection"]  # what the shortcut of a single block does
BranchKind = Literal["conv", "attention", "mlp"]  # what a branch is made of
AxisKind = Literal["channels", "tokens", "depth", "height", "width"]
ImageShape = tuple[int, int, int]  # height, width, channels


@dataclass(frozen=True)
class BlockInfo:
    """One residual block.

    Attributes:
        name: stage2.block0: stages count from 1, blocks within a stage from 0. If the branch is not made of
            convolutions, its kind follows: stage1.block0.attention.
        stage: Number of the stage, from 1.
        index: Number of the block within its stage, from 0.
        channels: Channels of the sum.
        height: Height of the sum; of other tensors than images, the number of positions.
        width: Width of the sum; of other tensors than images, 1.
        stride: Stride of the block.
        shortcut: What the shortcut does to x.
        response_std: Closed form of the branch's pooled standard deviation, sqrt(mean(γ²) + var(β)) of its last
            batch norm. If None, no batch norm ends the branch.
        branch: What the branch is made of.
        axes: Axes of the sum in the graph, after the batch axis. If empty, they are not known.
    """

    name: str
    stage: int
    index: int
    channels: int
    height: int
    width: int
    stride: int
    shortcut: ShortcutKind
    response_std: float | None
    branch: BranchKind = "conv"
    axes: tuple[AxisKind, ...] = ("channels", "height", "width")

    @property
    def size(self) -> int:
        """Number of values in the branch of one image: channels × height × width."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class NetInfo:
    """Description of a net.

    Attributes:
        family: resnet, plain, preact, or the name that an imported net was given.
        depth: Weighted layers.
        parameter_count: Trainable parameters.
        image: Height, width and channels of its images. If None, it takes tensors instead of images.
        blocks: Residual blocks from input to output; none for a plain net.
    """

    family: str
    depth: int
    parameter_count: int
    image: ImageShape | None
    blocks: Sequence[BlockInfo]


def pooled_std(gamma: npt.NDArray[Any], beta: npt.NDArray[Any]) -> float:
    """Returns the standard deviation behind a batch norm, pooled over channels, images and positions.

    Each channel has mean β and standard deviation |γ|, so all together have sqrt(mean(γ²) + var(β)).

    Args:
        gamma: Weight of the batch norm, [channels].
        beta: Bias of the batch norm, [channels].
    """
    gamma, beta = gamma.astype(np.float64), beta.astype(np.float64)
    return float(np.sqrt(np.square(gamma).mean() + beta.var()))
