"""Linear heads on what each block passes on, fitted on training images as those of a served model are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.inspection.readouts import Head
from resprobe_exporter.readouts.fit import PARTS, fit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Heads:
    """Fitted heads, for the input of the first block and for the output of each.

    Attributes:
        heads: Heads in this order.
        classes: Indices of the k classes that had training images, int64 [k]; a head has a score for each.
    """

    heads: Sequence[Head]
    classes: Integers

    def scores(self, features: Sequence[Floats]) -> list[Floats]:
        """Returns the scores of the k classes for each head's features [n, channels], float64 [n, k] each."""
        return [one @ head.weights.T + head.bias for one, head in zip(features, self.heads, strict=True)]

    def best(self, scores: Floats) -> Integers:
        """Returns the indices of the best classes of scores [n, k], [n]."""
        best: Integers = self.classes[scores.argmax(axis=1)]
        return best


def fit_all(features: Sequence[Floats], labels: Integers) -> Heads:
    """Fits a head to each of several features [n, channels] of the same n images.

    Raises:
        ExporterError: There are too few images, or they are of one class.
    """
    classes, targets = np.unique(labels, return_inverse=True)
    if len(classes) < 2 or np.bincount(targets).max() < PARTS:
        raise ExporterError(
            f"{len(labels)} training images of {len(classes)} classes are too few to fit readouts: "
            f"expected at least 2 classes, one of them with at least {PARTS} images"
        )
    return Heads([fit(one, targets, seed=0)[0] for one in features], classes)
