"""Runs a written version over a data set: accuracy and loss, and the distribution of every block's statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from resprobe._classes import match
from resprobe._results.statistics import BlockStatistics
from resprobe_protos.contract import BLOCKS, LOGITS

from resprobe_exporter.training.evaluation import Score
from resprobe_exporter.verification.ort import Graph


@dataclass(frozen=True)
class Measurement:
    """What a version does on labelled images.

    Attributes:
        score: Mean cross-entropy and accuracy.
        image_count: How many images.
        blocks: Statistics of every block for every image; None for a graph without them.
        pooled_std: Standard deviation of each block's branch, pooled over images, channels and positions: [L].
    """

    score: Score
    image_count: int
    blocks: BlockStatistics | None
    pooled_std: npt.NDArray[np.float64]


def measure(
    graph: Graph,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    names: Sequence[str],
    sizes: Sequence[int],
    classes: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Measurement:
    """Runs the graph over all images.

    Args:
        graph: A probe graph, or a lean one if there are no blocks.
        images: uint8 [n, height, width, channels].
        labels: [n], classes by their place.
        names: Of the blocks.
        sizes: Values in each block's branch: channels × height × width.
        classes: Names of the classes that the labels index, and of the graph's. If None, they are the same.

    Raises:
        InvalidRequest: The graph lacks one of these classes.
    """
    if classes is not None:
        labels = match(*classes, "the data set").indices[labels]
    outputs = list(graph.run_batches(images))
    logits = np.concatenate([output[LOGITS] for output in outputs]).astype(np.float64)
    score = Score(_cross_entropy(logits, labels), float((logits.argmax(1) == labels).mean()))
    if not names:
        return Measurement(score, len(images), None, np.zeros(0))
    raw = np.concatenate([output[BLOCKS] for output in outputs])
    branch, shortcut, dot, mean = np.moveaxis(raw, -1, 0)
    blocks = BlockStatistics.derive(names, sizes, branch, shortcut, dot, mean)
    return Measurement(score, len(images), blocks, _pooled_std(branch, mean, sizes))


def _pooled_std(
    branch: npt.NDArray[np.float32], mean: npt.NDArray[np.float32], sizes: Sequence[int]
) -> npt.NDArray[np.float64]:
    second = (branch.astype(np.float64) ** 2 / np.asarray(sizes)).mean(axis=0)
    pooled: npt.NDArray[np.float64] = np.sqrt(second - mean.mean(axis=0, dtype=np.float64) ** 2)
    return pooled


def _cross_entropy(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())
