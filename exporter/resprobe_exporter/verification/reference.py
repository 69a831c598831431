"""Numbers that the graphs of a version are compared with: those of a source that has no taps and no scales."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from resprobe_protos.contract import STATISTICS

Array = npt.NDArray[np.float64]
Inputs = npt.NDArray[np.generic]
CHECK_IMAGES = 4  # of noise, and as many of a test set
FINE = 1e-4  # relative error of float32


@dataclass(frozen=True, eq=False)
class Norms:
    """Norms of branch and shortcut of every block, in the layout of the outputs `maps` and `channels`.

    Attributes:
        maps: Over channels, for each block [n, 2, positions].
        channels: Over positions, for each block [n, 2, channels].
    """

    maps: Sequence[Array]
    channels: Sequence[Array]

    @classmethod
    def of(cls, operands: Sequence[tuple[Array, Array]], channel_axes: Sequence[int]) -> "Norms":
        """Computes norms of branch and shortcut of each block, [n, …], given the axis of their channels."""
        maps, channels = [], []
        for pair, axis in zip(operands, channel_axes, strict=True):
            rows = [np.moveaxis(one, axis, 1).reshape(len(one), one.shape[axis], -1) for one in pair]
            squares = np.square(np.stack(rows, axis=1))
            maps.append(np.sqrt(squares.sum(axis=2)))
            channels.append(np.sqrt(squares.sum(axis=3)))
        return cls(maps, channels)


@dataclass(frozen=True)
class Reference:
    """The numbers of a source for some inputs.

    Attributes:
        source: Name of the source, for errors.
        inputs: Inputs of the source, [n, …]; the first is the one that blocks are removed for.
        blocks: Names of the L blocks.
        sizes: Values in each block's branch: channels × height × width.
        outputs: Outputs by name, each [n, …]; the first is the logits of a net.
        statistics: Block statistics [n, L, 4], in the order of the contract.
        without: The first output for the first input without each single block, [L, …].
        norms: Norms of branches and shortcuts at every position and in every channel.
        tolerance: Maximum relative error of a graph.
        probe_tolerance: Maximum relative error of the probe graph's statistics.
    """

    source: str
    inputs: Inputs
    blocks: Sequence[str]
    sizes: Sequence[int]
    outputs: Mapping[str, Array]
    statistics: Array
    without: Array
    norms: "Norms"
    tolerance: float = FINE
    probe_tolerance: float = FINE


def block_statistics(operands: Sequence[tuple[Array, Array]], rows: int) -> Array:
    """Computes the statistics [rows, L, 4], in the order of the contract, of branch and shortcut of L blocks."""
    if not operands:
        return np.zeros((rows, 0, len(STATISTICS)))
    flat = [tuple(one.astype(np.float64).reshape(rows, -1) for one in pair) for pair in operands]
    statistics = [
        np.stack([np.linalg.norm(f, axis=1), np.linalg.norm(s, axis=1), (f * s).sum(axis=1), f.mean(axis=1)], axis=1)
        for f, s in flat
    ]
    return np.stack(statistics, axis=1)


class Oracle(Protocol):
    """Source of a candidate, which knows what its graphs must compute."""

    @property
    def source(self) -> str:
        """Name of the source, for messages."""

    @property
    def inputs(self) -> Inputs:
        """Inputs to compare on, [n, …], three rows or more."""

    @property
    def tolerance(self) -> float:
        """Maximum relative error of a graph."""

    def reference(self, directory: Path) -> Reference:
        """Computes the numbers that the graphs are compared with.

        Args:
            directory: Directory with the lean graph and its weights; files may be written to it for the moment.
        """


def check_images(shape: tuple[int, int, int], real: npt.NDArray[np.uint8] | None) -> npt.NDArray[np.uint8]:
    """Returns images to compare graphs on: noise, which reaches every value of a pixel, and a few real images.

    Args:
        shape: Height, width and channels.
        real: Images of this shape, [n, height, width, channels]. If None, all are noise.
    """
    noise = np.random.default_rng(0).integers(0, 256, (CHECK_IMAGES, *shape), dtype=np.uint8)
    return noise if real is None else np.concatenate([noise, real[:CHECK_IMAGES]])
