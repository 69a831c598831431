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
    """A number with its 95 % interval.

    Attributes:
        value: The number.
        low: Lower end of the interval; None where there are too few observations for one.
        high: Upper end.
        n: Observations that it rests on, of each group.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: tuple[int, ...] = ()

    @property
    def count(self) -> str:
        """Observations of each group, as text: 3 + 3."""
        return " + ".join(map(str, self.n))


def mean(values: Sequence[float]) -> Estimate:
    """Mean of independent observations, with Student's interval."""
    return contrast((values,), (1,))


def difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Mean of the first minus mean of the second, with Welch's interval."""
    return contrast((first, second), (1, -1))


def contrast(groups: Sequence[Sequence[float]], signs: Sequence[int]) -> Estimate:
    """Sum of the means of groups, each with its sign, with the interval of Welch and Satterthwaite."""
    arrays = [np.asarray(group, np.float64) for group in groups]
    value = float(sum(sign * group.mean() for sign, group in zip(signs, arrays, strict=True)))
    n = tuple(map(len, arrays))
    if min(n) < 2:
        return Estimate(value, n=n)
    errors = np.array([group.var(ddof=1) / len(group) for group in arrays])
    if not errors.any():
        return Estimate(value, value, value, n)
    freedom = errors.sum() ** 2 / sum(e**2 / (count - 1) for e, count in zip(errors, n, strict=True))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(errors.sum()))
    return Estimate(value, value - half, value + half, n)


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
        return PowerLaw(Estimate(exponent, n=(len(x),)), factor)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2) * fit.stderr)
    return PowerLaw(Estimate(exponent, exponent - half, exponent + half, (len(x),)), factor)


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
    return Estimate(float(_spearman(pairs[:, None])[0]), float(low), float(high), (n,))


def _spearman(pairs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[2, m, n] to [m]."""
    ranks = stats.rankdata(pairs, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    norms = np.linalg.norm(ranks, axis=-1).prod(axis=0)
    rho: npt.NDArray[np.float64] = np.divide(
        ranks.prod(axis=0).sum(axis=-1), norms, out=np.full_like(norms, np.nan), where=norms > 0
    )
    return rho
