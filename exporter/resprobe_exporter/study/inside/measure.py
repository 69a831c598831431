"""Measures the inside of one net: fits heads, reads every block, removes every block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.study.inside.costs import changes, correlate, costs
from resprobe_exporter.study.inside.decisions import decide
from resprobe_exporter.study.inside.findings import Decisions, Inside, Reading, Statistic
from resprobe_exporter.study.inside.heads import Heads, fit_all
from resprobe_exporter.study.inside.passing import Floats, Passed, observe, scores_without
from resprobe_exporter.training.data import Data, Part


@dataclass(frozen=True)
class Counts:
    """Maximum numbers of images.

    Attributes:
        heads: Training images to fit heads on.
        decisions: Test images to read. If None, all.
        lesions: Test images to remove blocks on.
    """

    heads: int
    decisions: int | None
    lesions: int


@dataclass(frozen=True, eq=False)
class _Reading:
    """Test images, what the net computes of them, and the scores that the heads read off that."""

    part: Part
    passed: Passed
    heads: Heads
    scores: Sequence[Floats]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class of each image, [n]."""
        labels: npt.NDArray[np.int64] = self.part.labels.cpu().numpy()
        return labels


def measure_inside(net: ResNet, images: Data, counts: Counts) -> tuple[Inside, dict[str, float]]:
    """Measures the inside of a trained residual net; returns it, and the accuracy without each block.

    Raises:
        ExporterError: There are too few training images to fit heads on.
    """
    sample = np.sort(np.random.default_rng(0).permutation(len(images.train))[: counts.heads])
    training = _rows(images.train, torch.from_numpy(sample).to(images.train.labels.device))
    heads = fit_all(observe(net, training, images).features, training.labels.cpu().numpy())
    count = len(images.test) if counts.decisions is None else counts.decisions
    test = _rows(images.test, slice(max(count, counts.lesions)))
    passed = observe(net, test, images)
    reading = _Reading(test, passed, heads, heads.scores(passed.features))
    lesioned = scores_without(net, _rows(test, slice(counts.lesions)), images)
    return (
        _inside(net, reading, lesioned, _decisions(net, reading, count)),
        _accuracies(net, lesioned, reading.labels[: len(lesioned)]),
    )


def _decisions(net: ResNet, reading: _Reading, count: int) -> dict[Reading, Decisions]:
    """Measures how answers develop, on `count` images."""
    names, classes = [block.name for block in net.blocks], net.architecture.classes
    own = reading.passed.own[:count].argmax(axis=2)
    fitted = np.stack([reading.heads.best(one[:count]) for one in reading.scores[1:]], axis=1)
    fitted[:, -1] = own[:, -1]
    served = np.concatenate([fitted[:, : -own.shape[1]], own], axis=1)
    labels, ratio = reading.labels[:count], reading.passed.ratio[:count]
    readings: Mapping[Reading, npt.NDArray[np.int64]] = {"fitted": fitted, "served": served}
    return {name: decide(names, one, labels, ratio, classes) for name, one in readings.items()}


def _inside(net: ResNet, reading: _Reading, lesioned: Floats, decisions: Mapping[Reading, Decisions]) -> Inside:
    """Measures what the removal of blocks costs, on the images that they were removed on."""
    few, passed, blocks = slice(len(lesioned)), reading.passed, net.blocks
    cost = costs(passed.own[few, -1], lesioned, reading.labels[few])
    statistics: dict[Statistic, Floats] = {
        "ratio": passed.ratio[few],
        "1 − cosine": 1 - passed.cosine[few],
        "influence": passed.influence[few],
        "readout change": changes([one[few] for one in reading.scores]),
    }
    keeps_shape = np.array([block.shortcut == "identity" for block in blocks])
    return Inside(
        decisions,
        {name: _by_block(net, _finite_means(values)) for name, values in statistics.items()},
        _by_block(net, cost["loss"].mean(axis=0)),
        tuple(correlate(cost, statistics, keeps_shape)),
    )


def _accuracies(net: ResNet, lesioned: Floats, labels: npt.NDArray[np.int64]) -> dict[str, float]:
    return _by_block(net, (lesioned.argmax(axis=2) == labels[:, None]).mean(axis=0))


def _by_block(net: ResNet, values: Floats) -> dict[str, float]:
    return dict(zip([block.name for block in net.blocks], values.tolist(), strict=True))


def _finite_means(values: Floats) -> Floats:
    """Returns means over images of [n, L], over those that are finite."""
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(finite, values, 0).sum(axis=0) / finite.sum(axis=0)
    return found


def _rows(part: Part, rows: slice | torch.Tensor) -> Part:
    return Part(part.images[rows], part.labels[rows])
