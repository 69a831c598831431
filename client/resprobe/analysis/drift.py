"""Drift of the input: compares a window of images with the baseline in the model's description, block by block.

For each block, the distance is that of Kolmogorov and Smirnov: the largest difference, over the baseline's quantiles,
between the share of the window's images below a quantile and the share of the baseline's. 0.2 means that a fifth of
the images have moved past some value. An infinite statistic lies beyond every quantile, and so does nan.

The p-value is that of the distance between two samples (the window's n images and the baseline's m) under Kolmogorov's
distribution for n·m/(n+m) values. Looking at the baseline's quantiles only makes it too large, never too small. Holm's
correction over the blocks (1979) then holds for any dependence between them, and blocks depend on each other strongly:
the chance that any block is called drifted, if none has, is at most `alpha` for each window.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resprobe._results.model import Block, Model
from resprobe._results.statistics import STATISTICS, summarise
from resprobe._results.tabular import Column, Tabular
from resprobe.analysis.dataset_result import Frame
from resprobe.errors import InvalidRequest, StatisticsUnavailable

ALPHA = 0.01
THRESHOLD = 0.1
FEWEST = 10  # images that the command needs: with fewer, no shift is certain, however large
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Drift(Tabular):
    """Comparison of a window of n images with a model's baseline, over the L blocks that have one.

    As a table it has one row for each of these blocks.

    Attributes:
        model: Model whose baseline it is.
        dataset: Name of what the window's images are.
        statistic: Statistic that was compared.
        images: Number of images in the window.
        alpha: Bound on the chance of a false alarm for a window.
        threshold: Smallest distance that counts.
        names: Names of the blocks.
        distance: Distance of each block, float64 [L], in [0, 1].
        p_value: p-value of each block, corrected for the number of blocks, float64 [L].
        median: Median of the window's finite values, float64 [L].
        baseline_median: Median of the baseline, float64 [L].
        detectable: Distance from which chance is ruled out for this many images and blocks, in [0, 1].
    """

    model: Model
    dataset: str
    statistic: str
    images: int
    alpha: float
    threshold: float
    names: list[str]
    distance: Floats
    p_value: Floats
    median: Floats
    baseline_median: Floats
    detectable: float

    @property
    def drifted(self) -> npt.NDArray[np.bool_]:
        """Blocks that have drifted, bool [L]: distance at least `threshold`, and p-value below `alpha`."""
        return (self.distance >= self.threshold) & (self.p_value < self.alpha)

    @property
    def found(self) -> bool:
        """Whether any block has drifted."""
        return bool(self.drifted.any())

    def __repr__(self) -> str:
        """Returns one line: the window, the baseline and how many blocks have drifted."""
        return (
            f"Drift({self.model.name!r}, version={self.model.version!r}, statistic={self.statistic!r}, "
            f"dataset={self.dataset!r}, images={self.images}, drifted={int(self.drifted.sum())} of {len(self.names)})"
        )

    def _columns(self) -> Mapping[str, Column]:
        return {
            "block": self.names,
            "distance": self.distance,
            "p_value": self.p_value,
            "drifted": self.drifted,
            "median": self.median,
            "baseline_median": self.baseline_median,
        }


def drift(
    window: Frame,
    *,
    model: Model | None = None,
    statistic: str = "ratio",
    alpha: float = ALPHA,
    threshold: float = THRESHOLD,
) -> Drift:
    """Compares a window with a baseline; the top of this module describes the test.

    Args:
        window: Any images, labelled or not. Few images show only large shifts: see `Drift.detectable`.
        model: Model whose baseline to use. If None, the model that the window was measured with.
        statistic: branch_l2, shortcut_l2, ratio, cosine, branch_std or branch_mean.
        alpha: Maximum chance that any block of a window is called drifted where none has.
        threshold: Minimum distance that counts.

    Raises:
        InvalidRequest: An argument is out of range, or the model has other blocks.
        StatisticsUnavailable: The model has no baseline of this statistic.
    """
    model = model or window.model
    baseline = _checked_baseline(window, model, statistic, alpha, threshold)
    values = getattr(window.blocks, statistic)[:, baseline.places]
    distance = distances(values, baseline.quantiles, baseline.probabilities)
    p_value, detectable = _chance(distance, len(window), model.baseline_images, alpha)
    return Drift(
        model=model,
        dataset=window.dataset,
        statistic=statistic,
        images=len(window),
        alpha=alpha,
        threshold=threshold,
        names=baseline.names,
        distance=distance,
        p_value=p_value,
        median=summarise(values).median,
        baseline_median=baseline.median,
        detectable=detectable,
    )


@dataclass(frozen=True, eq=False)
class _Baseline:
    """Quantiles [k, L] of a statistic at probabilities [k], and the places and names of its L blocks in the model."""

    places: list[int]
    names: list[str]
    quantiles: Floats
    probabilities: Floats

    @property
    def median(self) -> Floats:
        """Median of each block, [L]."""
        median: Floats = self.quantiles[np.abs(self.probabilities - 0.5).argmin()]
        return median


def _checked_baseline(window: Frame, model: Model, statistic: str, alpha: float, threshold: float) -> _Baseline:
    """Checks the arguments of `drift`, and returns the baseline to compare with. Raises as `drift` does."""
    _check(window, model, statistic, alpha, threshold)
    return _baseline(model, statistic)


def _baseline(model: Model, statistic: str) -> _Baseline:
    """Returns the baseline of the blocks that have one. Raises StatisticsUnavailable if none has."""
    known = {place: block.baseline[statistic] for place, block in enumerate(model.blocks) if _usable(block, statistic)}
    if not known:
        raise StatisticsUnavailable(
            f"model {model.name} version {model.version} has no baseline of {statistic}; "
            "exporter build and convert write one when they are given a data set"
        )
    probabilities = np.array(sorted(next(iter(known.values())).quantiles))
    quantiles = np.array([[one.quantiles[probability] for one in known.values()] for probability in probabilities])
    return _Baseline(list(known), [model.blocks[place].name for place in known], quantiles, probabilities)


def _chance(distance: Floats, n: int, m: int, alpha: float) -> tuple[Floats, float]:
    """Returns the corrected p-values of distances between n and m images, and the distance that alpha rules out.

    Where m is 0 the number of images behind the baseline is not known, and the baseline counts as exact.
    """
    from scipy.stats import kstwo

    size = max(1, round(n * m / (n + m))) if m else n
    return holm(kstwo.sf(distance, size)), float(kstwo.isf(alpha / len(distance), size))


def distances(values: npt.NDArray[np.floating], quantiles: Floats, probabilities: Floats) -> Floats:
    """Returns the largest difference of cumulative shares at the quantiles; ties and jumps are counted exactly.

    Args:
        values: Values of the window, [n, L].
        quantiles: Quantiles of the baseline, [k, L], ascending along k.
        probabilities: Probabilities of the quantiles, [k], ascending.

    Returns:
        float64 [L], in [0, 1].
    """
    distance = np.zeros(values.shape[1])
    for probability, quantile in zip(probabilities, quantiles, strict=True):
        up_to, below = (values <= quantile).mean(axis=0), (values < quantile).mean(axis=0)
        distance = np.maximum(distance, np.maximum(probability - up_to, below - probability))
    return distance


def holm(p_values: Floats) -> Floats:
    """Returns p-values corrected by Holm's step-down procedure, in the same order."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def _usable(block: Block, statistic: str) -> bool:
    """Returns whether a block has a baseline. Where many shortcuts are zero a quantile of the ratio is nan."""
    known = block.baseline.get(statistic)
    return known is not None and not np.isnan([*known.quantiles.values()]).any()


def _check(window: Frame, model: Model, statistic: str, alpha: float, threshold: float) -> None:
    if statistic not in STATISTICS:
        raise InvalidRequest(f"unknown statistic {statistic!r}; there are {', '.join(STATISTICS)}")
    if not 0 < alpha < 1:
        raise InvalidRequest(f"alpha {alpha}: expected a number between 0 and 1")
    if not 0 <= threshold < 1:
        raise InvalidRequest(f"threshold {threshold}: expected a number from 0 to 1")
    if [block.name for block in model.blocks] != window.blocks.names:
        raise InvalidRequest(f"the window was measured with {window.model.name}, whose blocks are not {model.name}'s")
