"""What a threshold does: accuracy, where images leave the net, and images a second."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99995, 0.99999)


@dataclass(frozen=True)
class Point:
    """A threshold and what it does.

    Attributes:
        threshold: Threshold.
        accuracy: Share of images whose answer is right.
        shares: Share of the images that leave at the end of each part.
        speedup: Images a second over those of the whole net.
    """

    threshold: float
    accuracy: float
    shares: tuple[float, ...]
    speedup: float


def curve(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], costs: Sequence[float]) -> list[Point]:
    """Computes a point for each of THRESHOLDS.

    Args:
        scores: Scores at the end of each part, [parts, n, classes].
        labels: Right classes, [n].
        costs: Time of each part over that of the whole net.
    """
    return [_point(threshold, scores, labels, costs) for threshold in THRESHOLDS]


def choose(points: Sequence[Point], accuracy: float, maximum_loss: float) -> float | None:
    """Returns the lowest threshold that loses at most so much accuracy, as do all higher ones. If None, none does."""
    found = None
    for point in sorted(points, key=lambda one: -one.threshold):
        if accuracy - point.accuracy > maximum_loss:
            break
        found = point.threshold
    return found


def leaves_after(scores: npt.NDArray[np.float64], threshold: float) -> npt.NDArray[np.int64]:
    """Returns the part after which each image leaves: the first whose confidence is over the threshold, else the last.

    The confidence is the probability of the best class, as in Kaya et al. 2019 (arXiv 1810.07052).
    """
    exponentials = np.exp(scores - scores.max(axis=2, keepdims=True))
    over = 1 / exponentials.sum(axis=2) > threshold
    over[-1] = True
    first: npt.NDArray[np.int64] = over.argmax(axis=0)
    return first


def _point(
    threshold: float, scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], costs: Sequence[float]
) -> Point:
    parts = leaves_after(scores, threshold)
    classes = scores[parts, np.arange(len(labels))].argmax(axis=1)
    spent = np.cumsum(costs)[parts].mean()
    shares = tuple(float((parts == part).mean()) for part in range(len(scores)))
    return Point(threshold, float((classes == labels).mean()), shares, float(1 / spent))
