"""Outputs of a graph for one batch, and the best classes, computed once for all requests of the batch."""

from typing import Any

import numpy as np
import numpy.typing as npt
from resprobe_protos.contract import LOGITS

from resprobe_server.execution.graph import Arrays

Scores = npt.NDArray[Any]
AXES, FLOATS = 2, "f"  # of scores
NEAR_ONE = 1e-2  # error of a sum of probabilities that rounding to 8 or 16 bits explains


class Results:
    """Outputs of a batch, used by one thread at a time.

    Attributes:
        arrays: Outputs by name, each [n, …].
    """

    __slots__ = ("_best", "arrays")

    def __init__(self, arrays: Arrays) -> None:
        """Keeps outputs by name."""
        self.arrays = arrays
        self._best: dict[int, tuple[list[list[int]], list[list[float]]]] = {}

    def best(self, top_k: int, probabilities: bool = False) -> tuple[list[list[int]], list[list[float]]]:
        """Returns the best classes of each row and their probabilities, as `best_classes` does, computed once.

        Args:
            top_k: Number of classes.
            probabilities: Whether the graph returns probabilities, and not logits.
        """
        found = self._best.get(top_k)
        if found is None:
            indices, values = best_classes(self.arrays[LOGITS], top_k, probabilities)
            found = self._best[top_k] = indices.tolist(), values.tolist()
        return found


def best_classes(
    scores: Scores, top_k: int, probabilities: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Finds the best classes of each image and their probabilities.

    Args:
        scores: Scores of the classes, float [n, classes].
        top_k: Number of classes to return; all of them if there are fewer.
        probabilities: Whether the scores are probabilities, and not logits.

    Returns:
        Indices and probabilities, both [n, k], best first; ties go to the smaller index.
    """
    scores = scores.astype(np.float32, copy=False)
    order = (-scores).argsort(axis=1, kind="stable")[:, :top_k]
    rows = np.arange(len(scores))[:, np.newaxis]
    if probabilities:
        return order, scores[rows, order]
    exponentials = np.exp(scores - scores[rows, order[:, :1]])  # the greatest is the first
    return order, exponentials[rows, order] / exponentials.sum(axis=1, keepdims=True)


def are_scores(values: npt.NDArray[Any]) -> bool:
    """Returns whether values are scores of classes for each image: float [n, classes]."""
    return values.ndim == AXES and values.dtype.kind == FLOATS and values.shape[1] > 0


def are_probabilities(scores: Scores) -> bool:
    """Returns whether each row is positive and adds up to one, as no logits of many images do."""
    values = scores.astype(np.float64)
    return bool((values >= 0).all() and (np.abs(values.sum(axis=1) - 1) <= NEAR_ONE).all())
