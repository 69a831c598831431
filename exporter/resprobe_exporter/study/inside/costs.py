"""What the removal of each block costs, against statistics that one pass of the intact net gives."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from resprobe_exporter.study.inside.bootstrap import Floats, ImageBootstrap, correlations
from resprobe_exporter.study.inside.findings import COSTS, STATISTICS, Correlation, Cost, Statistic


def costs(intact: Floats, lesioned: Floats, labels: npt.NDArray[np.int64]) -> Mapping[Cost, Floats]:
    """Returns what the removal of each of L blocks costs each image, [n, L]: 1 if its answer was right and is wrong
    without the block, -1 the other way round; and the rise of its cross-entropy, in nats.

    Args:
        intact: Scores of the whole net, [n, classes].
        lesioned: Scores without each block, [n, L, classes].
        labels: Class of each image, [n].
    """  # noqa: D205
    right = (intact.argmax(axis=1) == labels)[:, None].astype(np.float64) - (lesioned.argmax(axis=2) == labels[:, None])
    return {"accuracy": right, "loss": _loss(lesioned, labels[:, None]) - _loss(intact, labels)[:, None]}


def changes(scores: Sequence[Floats]) -> Floats:
    """Returns the change of the readout by each of L blocks: the total variation between the probabilities of classes
    read before and after it, in [0, 1].

    Args:
        scores: Scores before the first block and after each, L + 1 arrays [n, classes].
    """  # noqa: D205
    probabilities = np.exp(np.stack([log_softmax(one, axis=1) for one in scores], axis=1))
    found: Floats = np.abs(np.diff(probabilities, axis=1)).sum(axis=2) / 2
    return found


def correlate(
    cost: Mapping[Cost, Floats], statistics: Mapping[Statistic, Floats], keeps_shape: npt.NDArray[np.bool_]
) -> Iterator[Correlation]:
    """Yields the correlation of each cost with each statistic, over all blocks and over those that keep the shape.

    Where the blocks do not differ, there is none.

    Args:
        cost: Cost of each image and block, [n, L].
        statistics: Statistics of each image and block, [n, L].
        keeps_shape: Whether each block keeps the shape, [L].
    """
    images = ImageBootstrap(len(cost["accuracy"]))
    lost = {name: images.means(cost[name]) for name in COSTS}
    means = {name: images.means(statistics[name]) for name in STATISTICS}
    for all_blocks in (True, False):
        chosen = np.ones_like(keeps_shape) if all_blocks else keeps_shape
        for name in COSTS:
            draws = {one: correlations(means[one][:, chosen], lost[name][:, chosen]) for one in STATISTICS}
            for one in STATISTICS:
                rho, above = images.estimate(draws[one]), images.estimate(draws[one] - draws["influence"])
                if rho is not None and above is not None:
                    yield Correlation(name, all_blocks, one, rho, above)


def _loss(scores: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    """Returns the cross-entropy of scores [..., classes] and labels that broadcast to [...], in nats."""
    chosen = np.broadcast_to(labels, scores.shape[:-1])[..., None]
    found: Floats = -np.take_along_axis(log_softmax(scores, axis=-1), chosen, axis=-1)[..., 0]
    return found
