"""What a graph returned for a batch, and what is worked out of it for all of its requests at once."""

from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe_server.repository import LOGITS
from resprobe_server.session import Arrays


class Results:
    """See above. Not for several threads.

    Attributes:
        arrays: By name, each [n, …].
    """

    __slots__ = ("_best", "arrays")

    def __init__(self, arrays: Arrays) -> None:
        """Of these arrays."""
        self.arrays = arrays
        self._best: dict[int, tuple[list[list[int]], list[list[float]]]] = {}

    def best(self, top_k: int) -> tuple[list[list[int]], list[list[float]]]:
        """The best classes of each row and their probabilities, as `best_classes` says; worked out once."""
        found = self._best.get(top_k)
        if found is None:
            indices, probabilities = best_classes(self.arrays[LOGITS], top_k)
            found = self._best[top_k] = indices.tolist(), probabilities.tolist()
        return found


def best_classes(logits: npt.NDArray[Any], top_k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The best classes of each image and their probabilities.

    Args:
        logits: float [n, classes].
        top_k: How many; more than there are means all.

    Returns:
        Indices and probabilities, both [n, k], best first; ties go to the smaller index.
    """
    logits = logits.astype(np.float32, copy=False)
    order = (-logits).argsort(axis=1, kind="stable")[:, :top_k]
    rows = np.arange(len(logits))[:, np.newaxis]
    exponentials = np.exp(logits - logits[rows, order[:, :1]])  # the greatest is the first
    return order, exponentials[rows, order] / exponentials.sum(axis=1, keepdims=True)
