"""Runs a written version over labelled images: accuracy and loss, and the statistics of every block."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from resprobe._classes import match
from resprobe._results.statistics import STATISTICS as DERIVED
from resprobe._results.statistics import BlockStatistics
from resprobe_protos.contract import BLOCKS, INSPECT, LEAN, LOGITS, PROBE, READOUTS

from resprobe_exporter import progress
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import metadata
from resprobe_exporter.versions.test_set import LabelledImages

PROBABILITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # of the baseline's quantiles
READOUT_BATCH = 32


@dataclass(frozen=True, eq=False)
class Measurement:
    """Results of a version on labelled images.

    Attributes:
        loss: Mean cross-entropy in nats.
        accuracy: Share of images that are classified as labelled.
        image_count: Number of images.
        blocks: Statistics of every block for every image. If None, the graph has none.
        pooled_std: Standard deviation of each block's branch, pooled over images, channels and positions: [L].
    """

    loss: float
    accuracy: float
    image_count: int
    blocks: BlockStatistics | None
    pooled_std: npt.NDArray[np.float64]


def measure_version(directory: Path, model: metadata.Model, test_set: LabelledImages) -> Measurement:
    """Runs the graph of a version over labelled images.

    Raises:
        InvalidRequest: The version lacks a class of the images.
    """
    graph = Graph(directory / (PROBE if model.blocks else LEAN))
    labels = match(test_set.classes, model.classes, "the data set").indices[test_set.labels]
    return measure(graph, test_set.images, labels, [block.name for block in model.blocks], metadata.sizes(model))


def measure(
    graph: Graph,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    names: Sequence[str],
    sizes: Sequence[int],
) -> Measurement:
    """Runs a graph over images.

    Args:
        graph: A probe graph, or a lean one if there are no blocks.
        images: Images, uint8 [n, height, width, channels].
        labels: Places of the right classes among the graph's, [n].
        names: Names of the blocks.
        sizes: Values in each block's branch: channels × height × width.
    """
    outputs = list(graph.run_batches(images))
    logits = np.concatenate([output[LOGITS] for output in outputs]).astype(np.float64)
    loss, accuracy = cross_entropy(logits, labels), float((logits.argmax(1) == labels).mean())
    if not names:
        return Measurement(loss, accuracy, len(images), None, np.zeros(0))
    raw = np.concatenate([output[BLOCKS] for output in outputs])
    branch, shortcut, dot, mean = np.moveaxis(raw, -1, 0)
    blocks = BlockStatistics.derive(names, sizes, branch, shortcut, dot, mean)
    return Measurement(loss, accuracy, len(images), blocks, _pooled_std(branch, mean, sizes))


def measure_readouts(directory: Path, model: metadata.Model, test_set: LabelledImages) -> None:
    """Adds accuracy and loss of the scores that are read off each block to a description.

    Raises:
        InvalidRequest: The version lacks a class of the images.
    """
    graph = Graph(directory / INSPECT)
    labels = match(test_set.classes, model.classes, "the data set").indices[test_set.labels]
    found = []
    for start in range(0, len(labels), READOUT_BATCH):
        images = test_set.images[start : start + READOUT_BATCH]
        found.append(graph.run(images, np.ones((len(images), len(model.blocks)), np.float32))[READOUTS])
    scores = np.concatenate(found).astype(np.float64)
    for row, block in enumerate(block for block in model.blocks if block.HasField("readout")):
        measured = block.readout.evaluation
        measured.dataset, measured.image_count = test_set.name, len(labels)
        measured.accuracy = float((scores[:, row].argmax(axis=1) == labels).mean())
        measured.loss = cross_entropy(scores[:, row], labels)


def add_measurement(model: metadata.Model, dataset: str, measured: Measurement) -> None:
    """Adds accuracy and baseline of a data set to a description."""
    evaluation = model.evaluation
    evaluation.dataset, evaluation.image_count = dataset, measured.image_count
    evaluation.accuracy, evaluation.loss = measured.accuracy, measured.loss
    if measured.blocks is None:
        return
    model.baseline.dataset, model.baseline.image_count = dataset, measured.image_count
    model.baseline.probabilities[:] = PROBABILITIES
    for name in DERIVED:
        values = getattr(measured.blocks, name).astype(np.float64)
        quantiles = np.quantile(values, PROBABILITIES, axis=0).T
        for block, mean, row in zip(model.blocks, values.mean(axis=0), quantiles, strict=True):
            block.baseline[name].mean = mean
            block.baseline[name].quantiles[:] = row.tolist()


def doubt(model: metadata.Model, class_count: int, hints: Sequence[str]) -> None:
    """Reports an accuracy that is near chance, as that of a net that was read wrongly.

    Args:
        model: Description with an evaluation.
        class_count: Number of classes of the data set.
        hints: What to check then.
    """
    accuracy = model.evaluation.accuracy
    if accuracy < suspicious_below(class_count):
        progress.note(
            f"suspicious: an accuracy of {accuracy:.4f} on {model.evaluation.dataset} is near chance, "
            f"{1 / class_count:.3g} for {class_count} classes; check {', '.join(hints)}"
        )


def suspicious_below(class_count: int) -> float:
    """Returns the accuracy below which a trained net was probably read wrongly: chance and a fifth of the rest."""
    return 1 / class_count + (1 - 1 / class_count) / 5


def _pooled_std(
    branch: npt.NDArray[np.float32], mean: npt.NDArray[np.float32], sizes: Sequence[int]
) -> npt.NDArray[np.float64]:
    second = (branch.astype(np.float64) ** 2 / np.asarray(sizes)).mean(axis=0)
    pooled: npt.NDArray[np.float64] = np.sqrt(second - mean.mean(axis=0, dtype=np.float64) ** 2)
    return pooled


def cross_entropy(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Returns the mean cross-entropy in nats of logits [n, classes] and the places of the right classes [n]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())
