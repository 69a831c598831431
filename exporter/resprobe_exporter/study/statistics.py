"""The few statistics of a study: means, differences, a power law and a rank correlation, each with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; `low` and `high` are None where there are too few observations for one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1 if the whole interval lies above or below 0; 0 if it cannot be told."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)

    def holds(self, value: float) -> bool:
        """Whether the interval holds this value; False without an interval."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high


def mean(values: Sequence[float]) -> Estimate:
    """Mean of independent observations, with Student's interval."""
    return difference(values, [])


def difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Mean of the first minus mean of the second, with Welch's interval; an empty second counts as exactly 0."""
    groups = [np.asarray(group, np.float64) for group in (first, second) if len(group)]
    value = float(np.mean(first) - (np.mean(second) if len(second) else 0))
    if min(map(len, groups)) < 2:
        return Estimate(value)
    errors = np.array([group.var(ddof=1) / len(group) for group in groups])
    if not errors.any():
        return Estimate(value, value, value)
    freedom = errors.sum() ** 2 / sum(e**2 / (len(group) - 1) for e, group in zip(errors, groups, strict=True))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(errors.sum()))
    return Estimate(value, value - half, value + half)


@dataclass(frozen=True)
class PowerLaw:
    """y = factor · x^-exponent, fitted to the logarithms by least squares."""

    exponent: Estimate
    factor: float

    def __call__(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The fit at these x."""
        fitted: npt.NDArray[np.float64] = self.factor * x**-self.exponent.value
        return fitted


def power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw | None:
    """Fits a power law to positive numbers; None for fewer than two different x."""
    if len(set(x)) < 2:
        return None
    fit = stats.linregress(np.log(x), np.log(y))
    exponent, factor = -float(fit.slope), float(np.exp(fit.intercept))
    if len(x) < 3:
        return PowerLaw(Estimate(exponent), factor)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2) * fit.stderr)
    return PowerLaw(Estimate(exponent, exponent - half, exponent + half), factor)


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> Estimate | None:
    """Spearman's coefficient, its interval the percentiles of a bootstrap over pairs; None if one side is constant."""
    pairs = np.array([x, y], np.float64)
    if pairs.shape[1] < 3 or not np.ptp(pairs, axis=1).all():
        return None
    n = pairs.shape[1]
    rows = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    drawn = _spearman(pairs[:, rows])
    drawn = drawn[np.isfinite(drawn)]  # a resample may be constant
    low, high = np.quantile(drawn, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Estimate(float(_spearman(pairs[:, None])[0]), float(low), float(high))


def _spearman(pairs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[2, m, n] to [m]."""
    ranks = stats.rankdata(pairs, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    norms = np.linalg.norm(ranks, axis=-1).prod(axis=0)
    rho: npt.NDArray[np.float64] = np.divide(
        ranks.prod(axis=0).sum(axis=-1), norms, out=np.full_like(norms, np.nan), where=norms > 0
    )
    return rho
