"""Numbers that the graphs of a version are compared with: those of a source that has no taps and no scales."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Inputs = npt.NDArray[np.generic]
CHECK_IMAGES = 4  # of noise, and as many of a test set
FINE = 1e-4  # relative error of float32


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
    tolerance: float = FINE
    probe_tolerance: float = FINE


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
