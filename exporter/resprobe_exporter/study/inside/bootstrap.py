"""Intervals of rank correlations over the blocks of one net, or over its images, by a bootstrap over its images."""

import numpy as np
import numpy.typing as npt
from scipy import stats

from resprobe_exporter.study.statistics import TAILS, Estimate, spearman

RESAMPLES = 1000
FEWEST_BLOCKS = 5  # four blocks are in the order of a statistic by chance once in 24 times
BATCH = 50  # resamples of all images at a time
Floats = npt.NDArray[np.float64]


class ImageBootstrap:
    """Resamples of n images, the same for all that is asked, so that differences are paired."""

    def __init__(self, count: int) -> None:
        """Draws the resamples."""
        weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
        self._weights = np.vstack([np.ones(count), weights])  # the first row is the images as they are
        self._count = count

    def means(self, values: npt.NDArray[np.generic]) -> Floats:
        """Returns the means over images of [n, L], over those that are finite: [1 + resamples, L].

        The first row is of the images as they are. A block without a finite value has nan.
        """
        numbers = values.astype(np.float64)
        finite = np.isfinite(numbers)
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = self._weights @ np.where(finite, numbers, 0) / (self._weights @ finite)
        return found

    def correlation(self, x: Floats, y: Floats) -> Estimate | None:
        """Returns Spearman's rank correlation over blocks of two `means`, with its percentile interval over images.

        If None, there are fewer than five blocks, or one side is constant.
        """
        return self.estimate(correlations(x, y))

    def estimate(self, draws: Floats) -> Estimate | None:
        """Returns the first of some numbers, with the interval of the others. If None, the first is not finite."""
        if not np.isfinite(draws[0]):
            return None
        low, high = np.nanquantile(draws[1:], TAILS)
        return Estimate(float(draws[0]), float(low), float(high), (self._count,))


def correlations(x: Floats, y: Floats) -> Floats:
    """Returns Spearman's rank correlation over blocks of each row of two arrays [rows, L]; nan if L is below 5."""
    return spearman(x, y) if x.shape[1] >= FEWEST_BLOCKS else np.full(len(x), np.nan)


def correlation_over_images(x: npt.NDArray[np.generic], y: Floats) -> Estimate | None:
    """Returns Spearman's rank correlation of two finite numbers of each image [n], with its percentile interval.

    If None, there are fewer than three images, or one side is constant.
    """
    if len(x) < 3 or not np.ptp(x) or not np.ptp(y):
        return None
    found = stats.bootstrap(
        (x.astype(np.float64), y),
        lambda one, two, axis=-1: np.nan_to_num(spearman(one, two)),  # 0 where a resample is constant
        paired=True, vectorized=True, method="percentile", n_resamples=RESAMPLES, batch=BATCH, rng=0,
    ).confidence_interval  # fmt: skip
    return Estimate(float(spearman(x.astype(np.float64), y)), float(found.low), float(found.high), (len(x),))
