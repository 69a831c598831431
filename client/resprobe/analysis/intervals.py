"""Intervals of means over images, by bootstrap. Needs scipy."""

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
