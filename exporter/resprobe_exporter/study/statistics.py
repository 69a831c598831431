"""Statistics of a study: means, differences, a power law and rank correlations, each with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
TAILS = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
RESAMPLES = 2000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: The number.
        low: Lower end of the interval. If None, there are too few observations for an interval.
        high: Upper end of the interval. If None, there are too few observations for an interval.
        n: Number of observations of each group.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: tuple[int, ...] = ()

    @property
    def count(self) -> str:
        """Observations of each group as text, such as 3 + 3."""
        return " + ".join(map(str, self.n))

    def times(self, factor: float) -> "Estimate":
        """Returns the number and its interval times a positive factor."""
        low, high = (None if end is None else factor * end for end in (self.low, self.high))
        return Estimate(factor * self.value, low, high, self.n)


def mean(values: Sequence[float]) -> Estimate:
    """Returns the mean of independent observations, with Student's interval."""
    return contrast((values,), (1,))


def over_nets(estimates: Sequence[Estimate], limits: tuple[float, float] = (-1, 1)) -> Estimate:
    """Returns the mean over nets, with Student's interval as far as it lies between two limits that the number has.

    A single net's estimate is returned as it is. The intervals of several nets are not used: how far nets differ
    includes what their images add to it.
    """
    if len(estimates) == 1:
        return estimates[0]
    found = mean([one.value for one in estimates])
    low, high = (None if end is None else float(np.clip(end, *limits)) for end in (found.low, found.high))
    return Estimate(found.value, low, high, found.n)


def share(hits: int, count: int) -> Estimate:
    """Returns a share of independent observations, with Wilson's interval (1927)."""
    interval = stats.binomtest(hits, count).proportion_ci(CONFIDENCE, "wilson")
    return Estimate(hits / count, float(interval.low), float(interval.high), (count,))


def difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Returns the mean of the first minus the mean of the second, with Welch's interval."""
    return contrast((first, second), (1, -1))


def contrast(groups: Sequence[Sequence[float]], signs: Sequence[int]) -> Estimate:
    """Returns the sum of the groups' means, each with its sign, with the interval of Welch and Satterthwaite.

    For one group this is scipy's ttest_1samp, for two its ttest_ind; scipy has no test for four, and for equal
    observations only a warning.
    """
    arrays = [np.asarray(group, np.float64) for group in groups]
    value = float(sum(sign * group.mean() for sign, group in zip(signs, arrays, strict=True)))
    n = tuple(map(len, arrays))
    if min(n) < 2:
        return Estimate(value, n=n)
    variances = np.array([group.var(ddof=1) / len(group) for group in arrays])  # of the means
    if not variances.any():
        return Estimate(value, value, value, n)
    freedom = variances.sum() ** 2 / (variances**2 / (np.array(n) - 1)).sum()
    return _with_interval(value, float(np.sqrt(variances.sum())), freedom, n)


@dataclass(frozen=True)
class PowerLaw:
    """y = factor · x^-exponent, fitted to the logarithms by least squares."""

    exponent: Estimate
    factor: float

    def __call__(self, x: Floats) -> Floats:
        """Returns the fitted y for each x."""
        fitted: Floats = self.factor * x**-self.exponent.value
        return fitted


def power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw | None:
    """Fits a power law to positive numbers. If None, there are fewer than two different x."""
    if len(set(x)) < 2:
        return None
    fit = stats.linregress(np.log(x), np.log(y))
    exponent, factor, n = -float(fit.slope), float(np.exp(fit.intercept)), (len(x),)
    if len(x) < 3:
        return PowerLaw(Estimate(exponent, n=n), factor)
    return PowerLaw(_with_interval(exponent, fit.stderr, len(x) - 2, n), factor)


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> Estimate | None:
    """Returns Spearman's coefficient, with a percentile bootstrap interval over pairs.

    If None, there are fewer than three pairs, or one side is constant. A resample may be constant too and is then left
    out; scipy's bootstrap gives no interval for such data.
    """
    pairs, n = np.array([x, y], np.float64), len(x)
    if n < 3 or not np.ptp(pairs, axis=1).all():
        return None
    rows = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    low, high = np.nanquantile(spearman(*pairs[:, rows]), TAILS)
    return Estimate(float(spearman(*pairs)), float(low), float(high), (n,))


def rank_correlation_by_chance(count: int) -> float:
    """Returns the absolute rank correlation that pairs in random order exceed once in 20 times, by Student's t."""
    t = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 2))
    return t / float(np.sqrt(count - 2 + t**2))


def _with_interval(value: float, error: float, freedom: float, n: tuple[int, ...]) -> Estimate:
    """Returns a number with Student's interval, from its standard error and degrees of freedom."""
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error  # `interval` has none for an error of 0
    return Estimate(value, value - half, value + half, n)


def spearman(x: Floats, y: Floats) -> Floats:
    """Returns Spearman's coefficient along the last axis; nan where one side is constant."""
    ranks = stats.rankdata([x, y], axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    norms = np.linalg.norm(ranks, axis=-1).prod(axis=0)
    undefined = np.full_like(norms, np.nan)
    rho: Floats = np.divide(ranks.prod(axis=0).sum(axis=-1), norms, out=undefined, where=norms > 0)
    return rho
