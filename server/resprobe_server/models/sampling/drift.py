"""Drift of live images: whether the ratios of the last ones are distributed as on the images of the baseline.

The distance of a block is that of Kolmogorov and Smirnov between the last WINDOW sampled images and the baseline's
quantiles, as `resprobe drift` computes it. The limit makes false alarms rarer than ALPHA for each window: Kolmogorov's
distribution for two samples is bounded by 2 exp(−2 N d²) with N = n·m/(n+m) (Smirnov 1939), and Bonferroni's correction
over the blocks holds for any dependence between them.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from resprobe.analysis.drift import distances
from resprobe_protos import resprobe_pb2 as pb

WINDOW = 500  # images
ALPHA = 1e-4  # maximum chance of a false alarm for a window
LEAST = 0.1  # distance below which a shift is of no interest, however certain
RATIO = "ratio"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """Distances of the blocks that have a baseline.

    Attributes:
        blocks: Names of the blocks.
        distances: Distance of each, in [0, 1].
        limit: Distance from which a block has drifted.
    """

    blocks: tuple[str, ...]
    distances: tuple[float, ...]
    limit: float

    @property
    def alarm(self) -> bool:
        """Whether any block has drifted."""
        return max(self.distances) >= self.limit


class Window:
    """Ratios of the last images of a model with L blocks. The device's thread adds to it; others may read."""

    def __init__(self, blocks: int) -> None:
        """Begins without images."""
        self._values = np.full((WINDOW, blocks), np.nan, np.float32)
        self._count = 0

    def add(self, ratios: Floats) -> None:
        """Adds images, given their ratios [n, L]; the oldest leave."""
        ratios = ratios[-WINDOW:]
        places = (self._count + np.arange(len(ratios))) % WINDOW
        self._values[places] = ratios
        self._count += len(ratios)

    def drift(self, model: pb.Model) -> Drift | None:
        """Compares the window with a model's baseline. If None, the window is not full, or there is no baseline."""
        probabilities = np.array(model.baseline.probabilities)
        known = {
            place: np.array(block.baseline[RATIO].quantiles)
            for place, block in enumerate(model.blocks)
            if RATIO in block.baseline and len(block.baseline[RATIO].quantiles) == len(probabilities)
        }
        known = {place: quantiles for place, quantiles in known.items() if not np.isnan(quantiles).any()}
        if self._count < WINDOW or not known or not len(probabilities):
            return None
        places = list(known)
        found = distances(self._values[:, places], np.stack(list(known.values()), axis=1), probabilities)
        names = tuple(model.blocks[place].name for place in places)
        return Drift(names, tuple(found.tolist()), limit(model.baseline.image_count, len(places)))


def limit(baseline_images: int, blocks: int) -> float:
    """Returns the distance from which a block has drifted.

    Args:
        baseline_images: Number of images of the baseline. If 0, it is not known, and the baseline counts as exact.
        blocks: Number of blocks that are compared.
    """
    size = WINDOW * baseline_images / (WINDOW + baseline_images) if baseline_images else WINDOW
    return max(LEAST, math.sqrt(math.log(2 * blocks / ALPHA) / (2 * size)))
