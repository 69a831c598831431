"""Answers of a net from block to block: when they are right, when they are decided, and what was right before."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from resprobe._results.inspection import prediction_depth

from resprobe_exporter.study.inside.bootstrap import Floats, ImageBootstrap, correlation_over_images
from resprobe_exporter.study.inside.findings import Decisions
from resprobe_exporter.study.statistics import Estimate, mean, share

Integers = npt.NDArray[np.int64]


def decide(names: Sequence[str], classes: Integers, labels: Integers, ratio: Floats, class_count: int) -> Decisions:
    """Measures how answers develop.

    Args:
        names: Names of the L blocks.
        classes: Best class after each block, int64 [n, L]; the last is the net's answer.
        labels: Class of each image, int64 [n].
        ratio: Ratio of each block, [n, L].
        class_count: Number of classes.
    """
    images, places = ImageBootstrap(len(labels)), np.arange(len(names))
    right = images.means(classes == labels[:, None])
    depth = prediction_depth(classes, places)
    decided = images.means(depth[:, None] == places)
    wrong = classes[:, -1] != labels
    return Decisions(
        accuracy=dict(zip(names, right[0].tolist(), strict=True)),
        decided=dict(zip(names, decided[0].tolist(), strict=True)),
        rise=images.correlation(right, np.broadcast_to(places.astype(np.float64), right.shape)),
        with_ratio=images.correlation(decided, images.means(ratio)),
        depth_with_ratio=_over_images(depth, ratio),
        right_earlier=_right_earlier(classes[wrong], labels[wrong]),
        above_other=_above_other(classes[wrong], labels[wrong], class_count),
    )


def _over_images(depth: Integers, ratio: Floats) -> Estimate | None:
    finite = np.isfinite(ratio)
    known = finite.any(axis=1)
    mean_ratio = np.where(finite, ratio, 0)[known].sum(axis=1) / finite[known].sum(axis=1)
    return correlation_over_images(depth[known], mean_ratio)


def _right_earlier(classes: Integers, labels: Integers) -> Estimate | None:
    """Returns which share of wrong answers was right after some block (Kaya et al. 2019, arXiv 1810.07052)."""
    return share(int((classes == labels[:, None]).any(axis=1).sum()), len(labels)) if len(labels) else None


def _above_other(classes: Integers, labels: Integers, class_count: int) -> Estimate | None:
    """Returns how much more of the wrong answers were right earlier than were another wrong class earlier.

    A class that is wrong and is not the answer stands for what many readouts come upon by chance.
    """
    if not len(labels) or class_count < 3:
        return None
    earlier = (classes[:, :-1, None] == np.arange(class_count)).any(axis=1)
    rows = np.arange(len(labels))
    right, answer = earlier[rows, labels], earlier[rows, classes[:, -1]]
    others = earlier.sum(axis=1) - right.astype(np.int64) - answer
    return mean((right - others / (class_count - 2)).tolist())
