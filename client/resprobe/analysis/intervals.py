"""Intervals of means over images: bootstrap for paired differences, Student's t for two groups. Needs scipy."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 1000
VALUES = 20_000_000  # values that are resampled at a time, so that memory stays below a few hundred MB
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Difference:
    """Difference of two means with its interval: float64 arrays of one shape."""

    value: Floats
    low: Floats
    high: Floats


def bootstrap_mean(
    values: npt.NDArray[np.floating], confidence: float, resamples: int, generator: np.random.Generator
) -> Difference:
    """Returns the mean over images and its percentile bootstrap interval (Efron 1979), each [P].

    Args:
        values: Finite values [n, P], n at least 1. All P values of an image are resampled together.
        confidence: Share of the samples that the interval should cover, for example 0.95.
        resamples: Number of bootstrap samples.
        generator: Source of random numbers.
    """
    from scipy.stats import bootstrap

    mean = values.mean(axis=0, dtype=np.float64)
    if len(values) == 1:  # every resample is the image itself
        return Difference(mean, mean, mean)
    found = bootstrap(
        (values,),
        np.mean,
        axis=0,
        vectorized=True,
        method="percentile",
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, VALUES // values.size),
        rng=generator,
    ).confidence_interval
    return Difference(mean, np.asarray(found.low), np.asarray(found.high))


def relative_difference(
    values: npt.NDArray[np.floating], reference: npt.NDArray[np.floating], confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Compares the mean of some images with that of others, by Welch's t interval.

    Args:
        values: [n, L]; what is not finite is left out.
        reference: [m, L]; what is not finite is left out.
        confidence: Confidence of the interval.

    Returns:
        The first mean over the second, minus 1, [L]; and half the width of its interval, [L]. nan where either group
        has fewer than two finite values.
    """
    from scipy.stats import ttest_ind

    difference, margin = np.full((2, values.shape[1]), np.nan)
    for place in range(values.shape[1]):
        one, other = (_finite(group[:, place]) for group in (values, reference))
        if min(len(one), len(other)) < 2:
            continue
        mean = other.mean()
        difference[place] = one.mean() / mean - 1
        if one.std() + other.std() == 0:  # scipy has no t for groups without spread
            margin[place] = 0
            continue
        interval = ttest_ind(one, other, equal_var=False).confidence_interval(confidence)
        margin[place] = (interval.high - interval.low) / 2 / abs(mean)
    return difference, margin


def _finite(values: npt.NDArray[np.floating]) -> Floats:
    finite: Floats = values[np.isfinite(values)].astype(np.float64)
    return finite
