"""Histograms of the ratio ‖F(x)‖ / ‖s(x)‖ of every block."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from resprobe_protos.contract import BRANCH_L2, SHORTCUT_L2

from resprobe_server.models.sampling.drift import Window

# Upper bounds of the buckets: four a decade.
BOUNDS = (0.01, 0.018, 0.032, 0.056, 0.1, 0.18, 0.32, 0.56, 1.0, 1.8, 3.2, 5.6, 10.0)


class Ratios:
    """Histograms of the ratios of a model version with L blocks.

    A ratio that is nan (branch and shortcut are zero) is left out; one that is infinite (the shortcut alone is zero)
    counts in the last bucket and not in the sum.

    Attributes:
        counts: Number of images in each bucket, int64 [L, buckets]; the last bucket counts those over all bounds.
        sums: Sums of the finite ratios, float64 [L].
        window: Ratios of the last images.
    """

    def __init__(self, statistics: Sequence[str], blocks: int) -> None:
        """Creates empty histograms.

        Args:
            statistics: Names of the statistics along the last axis of the graph's output.
            blocks: Number of blocks.
        """
        self._branch, self._shortcut = statistics.index(BRANCH_L2), statistics.index(SHORTCUT_L2)
        self.counts = np.zeros((blocks, len(BOUNDS) + 1), np.int64)
        self.sums = np.zeros(blocks)
        self.window = Window(blocks)

    def add(self, blocks: npt.NDArray[np.generic]) -> None:
        """Adds images, given the graph's block statistics of them, float [n, L, S]."""
        branch, shortcut = (blocks[:, :, at].astype(np.float64) for at in (self._branch, self._shortcut))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = branch / shortcut
        row, block = np.nonzero(~np.isnan(ratio))
        np.add.at(self.counts, (block, np.searchsorted(BOUNDS, ratio[row, block])), 1)
        self.sums += np.where(np.isfinite(ratio), ratio, 0).sum(axis=0)
        self.window.add(ratio)
