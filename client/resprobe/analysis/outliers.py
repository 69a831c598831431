"""Scores of how unusual each image is in each block."""

import numpy as np
import numpy.typing as npt


def scores(ratio: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Returns how far each image's ratio is from the block's median, in interquartile ranges of its logarithm.

    Args:
        ratio: Ratio of n images in L blocks, [n, L].

    Returns:
        float64 [n, L], at least 0; inf where the ratio is not finite or is zero, 0 where all images are alike.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(ratio.astype(np.float64))
    finite = np.isfinite(logs)
    found = np.full(logs.shape, np.inf)
    for place in np.flatnonzero(finite.any(axis=0)):
        rows = finite[:, place]
        low, median, high = np.quantile(logs[rows, place], (0.25, 0.5, 0.75))
        found[rows, place] = np.abs(logs[rows, place] - median) / (high - low) if high > low else 0
    return found
