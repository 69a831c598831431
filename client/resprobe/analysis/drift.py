"""Has the input drifted? Compares a window of images with the baseline in the model's description, block by block.

For each block, the distance is that of Kolmogorov and Smirnov: the largest difference, over the baseline's quantiles,
between the share of the window's images below a quantile and the share of the baseline's. 0.2 means that a fifth of
the images have moved past some value. An infinite statistic lies beyond every quantile, and so does nan.

The p-value is that of the distance between two samples (the window's n images and the baseline's m) under Kolmogorov's
distribution for n·m/(n+m) values. Looking at the baseline's quantiles only makes it too large, never too small. Holm's
correction over the blocks (1979) then holds for any dependence between them, and blocks depend on each other strongly:
the chance that any block is called drifted, if none has, is at most `alpha` for each window.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe._results.model import Model
from resprobe._results.statistics import STATISTICS, summarise
from resprobe.analysis.dataset_result import Frame
from resprobe.errors import InvalidRequest, StatisticsUnavailable

ALPHA = 0.01
THRESHOLD = 0.1
FEWEST = 10  # images for a verdict of the command: no shift, however large, is certain with fewer
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drift:
    """A window of n images against a model's baseline; arrays have one entry for each of the L blocks that have one.

    Attributes:
        model: Whose baseline it is.
        dataset: Name of what the window's images are.
        statistic: That was compared.
        images: In the window.
        alpha: Bound on the chance of a false alarm for a window.
        threshold: Smallest distance that counts.
        names: Of the blocks.
        distance: float64 [L], in [0, 1].
        p_value: float64 [L], corrected for the number of blocks.
        median: float64 [L], of the window's finite values.
        baseline_median: float64 [L].
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
        """Which blocks: bool [L]. The distance is at least `threshold`, and the p-value below `alpha`."""
        return (self.distance >= self.threshold) & (self.p_value < self.alpha)

    @property
    def found(self) -> bool:
        """Whether any block has drifted."""
        return bool(self.drifted.any())

    def table(self) -> Any:
        """As a pyarrow.Table, one row for each block."""
        from resprobe.analysis import arrow

        return arrow.columns(
            block=self.names,
            distance=self.distance,
            p_value=self.p_value,
            drifted=self.drifted,
            median=self.median,
            baseline_median=self.baseline_median,
        )


def drift(
    window: Frame,
    *,
    model: Model | None = None,
    statistic: str = "ratio",
    alpha: float = ALPHA,
    threshold: float = THRESHOLD,
) -> Drift:
    """Compares a window with a baseline; see the top of this module for the test.

    Args:
        window: Any images, labelled or not; any number of them, but few tell little: see `Drift.detectable`.
        model: Whose baseline to use. If None, that of the model that the window was measured with.
        statistic: branch_l2, shortcut_l2, ratio, cosine, branch_std or branch_mean.
        alpha: Bound on the chance that any block is called drifted where none has, for one window.
        threshold: Distance below which a difference does not matter, however certain it is.

    Raises:
        InvalidRequest: An argument is out of range, or the model has other blocks.
        StatisticsUnavailable: The model has no baseline of this statistic.
    """
    from scipy.stats import kstwo

    model = model or window.model
    _check(window, model, statistic, alpha, threshold)
    known = [place for place, block in enumerate(model.blocks) if _usable(model, place, statistic)]
    if not known:
        raise StatisticsUnavailable(
            f"model {model.name} version {model.version} has no baseline of {statistic}; "
            "exporter build and convert write one when they are given a data set"
        )
    values = getattr(window.blocks, statistic)[:, known]
    baselines = [model.blocks[place].baseline[statistic] for place in known]
    probabilities = np.array(sorted(baselines[0].quantiles))
    quantiles = np.array([[one.quantiles[probability] for one in baselines] for probability in probabilities])
    n, m = len(window), model.baseline_images
    size = max(1, round(n * m / (n + m))) if m else n
    distance = distances(values, quantiles, probabilities)
    return Drift(
        model=model,
        dataset=window.dataset,
        statistic=statistic,
        images=n,
        alpha=alpha,
        threshold=threshold,
        names=[model.blocks[place].name for place in known],
        distance=distance,
        p_value=holm(kstwo.sf(distance, size)),
        median=summarise(values).median,
        baseline_median=quantiles[np.abs(probabilities - 0.5).argmin()],
        detectable=float(kstwo.isf(alpha / len(known), size)),
    )


def distances(values: npt.NDArray[np.floating], quantiles: Floats, probabilities: Floats) -> Floats:
    """Largest difference of cumulative shares at the quantiles; right for ties and jumps too.

    Args:
        values: [n, L].
        quantiles: [k, L], ascending along k.
        probabilities: [k], ascending, of the quantiles.

    Returns:
        float64 [L], in [0, 1].
    """
    distance = np.zeros(values.shape[1])
    for probability, quantile in zip(probabilities, quantiles, strict=True):
        up_to, below = (values <= quantile).mean(axis=0), (values < quantile).mean(axis=0)
        distance = np.maximum(distance, np.maximum(probability - up_to, below - probability))
    return distance


def holm(p_values: Floats) -> Floats:
    """P-values corrected by Holm's step-down procedure, in the same order."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def _usable(model: Model, place: int, statistic: str) -> bool:
    """Where many shortcuts are zero a quantile of the ratio is not a number."""
    known = model.blocks[place].baseline.get(statistic)
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
