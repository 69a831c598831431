"""Means over images with their intervals, and the typical ratio of several blocks."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from resprobe.analysis.intervals import CONFIDENCE, RESAMPLES, bootstrap_mean

from resprobe_exporter.study.statistics import Estimate

Floats = npt.NDArray[np.float64]


def over_images(values: npt.NDArray[np.floating]) -> Estimate | None:
    """Returns the mean of numbers of images [n], those that are finite, with its bootstrap interval over images.

    If None, no number is finite. A single image has no interval.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return None
    found = bootstrap_mean(finite[:, None], CONFIDENCE, RESAMPLES, np.random.default_rng(0))
    low, high = (None, None) if len(finite) == 1 else (float(found.low[0]), float(found.high[0]))
    return Estimate(float(found.value[0]), low, high, (len(finite),))


def typical(logarithms: Floats) -> Estimate | None:
    """Returns e to the mean of logarithms of images [n], which is a geometric mean, with its interval.

    If None, no logarithm is finite.
    """
    found = over_images(logarithms)
    if found is None:
        return None
    low, high = (None if end is None else float(np.exp(end)) for end in (found.low, found.high))
    return Estimate(float(np.exp(found.value)), low, high, found.n)


def log_ratio(branch: npt.NDArray[np.floating], shortcut: npt.NDArray[np.floating]) -> Floats:
    """Returns log(‖F‖ / ‖s‖), float64; not finite where one of them is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.log(branch.astype(np.float64)) - np.log(shortcut.astype(np.float64))
    return found


def mean_of_finite(values: Floats, axes: Sequence[int]) -> Floats:
    """Returns means over axes, of the numbers that are finite; nan where none is."""
    known = np.isfinite(values)
    count = known.sum(axis=tuple(axes))
    total = np.where(known, values, 0).sum(axis=tuple(axes))
    found: Floats = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    return found
