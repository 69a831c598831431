"""What a net loses without its blocks: every single one, and k random ones (Veit et al. 2016, arXiv 1605.06431, §4).

Here is what to send and what the answers add up to; sending is the client's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from resprobe._classes import match
from resprobe._pictures.batches import BATCH
from resprobe._pictures.images import Images, collect
from resprobe._wire.requests import Call, Options
from resprobe._wire.responses import Model, Result
from resprobe.errors import InvalidRequest, StatisticsUnavailable

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lesions:
    """How well a model with L blocks does without some of them, on n labelled images.

    A change is the mean over images of the probability of the right class without the blocks, less that of the intact
    net.

    Attributes:
        model: That answered.
        version: That answered.
        images: n.
        blocks: Names of the L blocks, from input to output.
        accuracy: Of the intact net.
        probability: Mean probability of the right class in the intact net.
        block_accuracy: Without each block, [L].
        block_change: Without each block, [L].
        removed: How many blocks were removed at random, [k].
        random_accuracy: Without that many, for each draw, [k, draws].
        random_change: Without that many, for each draw, [k, draws].
    """

    model: str
    version: str
    images: int
    blocks: list[str]
    accuracy: float
    probability: float
    block_accuracy: Floats
    block_change: Floats
    removed: npt.NDArray[np.int64]
    random_accuracy: Floats
    random_change: Floats


class Experiment:
    """The requests, each with one block scale for all of its images, and the sums of their answers.

    Attributes:
        total: Images that will be answered, each as often as blocks are removed, and once intact.
        done: Images that have been.
    """

    def __init__(
        self,
        model: Model,
        images: Images,
        labels: npt.ArrayLike,
        random: Sequence[int],
        draws: int,
        seed: int,
        classes: Sequence[str] | None = None,
    ) -> None:
        """Plans the draws. Arguments and errors are those of Client.lesions."""
        if not model.has_block_scale:
            raise StatisticsUnavailable(f"model {model.name} is served without a graph that can scale its blocks")
        names = match(model.classes if classes is None else classes, model.classes, "the labels", f"model {model.name}")
        self._model, self._images = model, collect(images)
        self._labels = names.indices[_check_labels(labels, len(names.indices))]
        if len(self._labels) != len(self._images):
            raise InvalidRequest(f"{len(self._labels)} labels for {len(self._images)} images; expected one for each")
        if wrong := [count for count in random if not 0 <= count <= len(model.blocks)]:
            raise InvalidRequest(f"{wrong[0]} random blocks; model {model.name} has {len(model.blocks)} to remove")
        if random and draws < 1:
            raise InvalidRequest(f"{draws} draws; expected at least 1")
        self._random, self._draws = random, draws
        self._scales = _scales(len(model.blocks), random, draws, seed)
        self._starts = range(0, len(self._images), BATCH)
        self._correct = np.zeros(len(self._scales))
        self._probability = np.zeros(len(self._scales))
        self._answers = 0
        self.total, self.done = len(self._images) * len(self._scales), 0

    def calls(self) -> Iterator[Call]:
        """The requests. Answers are to be added in their order."""
        options = Options(self._model.name, self._model.version, top_k=len(self._model.classes))
        for scale in self._scales:
            for start in self._starts:
                yield replace(options, block_scale=scale).call_collected(self._images[start : start + BATCH])

    def add(self, result: Result) -> None:
        """Takes the next answer."""
        scale, chunk = divmod(self._answers, len(self._starts))
        start = self._starts[chunk]
        labels = self._labels[start : start + len(result)]
        self._correct[scale] += (result.classes[:, 0] == labels).sum()
        self._probability[scale] += result.probabilities[result.classes == labels[:, None]].sum(dtype=np.float64)
        self._answers += 1
        self.done += len(result)

    def finish(self) -> Lesions:
        """What all answers add up to."""
        blocks, shape = len(self._model.blocks), (len(self._random), self._draws if self._random else 0)
        accuracy, probability = (sums / len(self._images) for sums in (self._correct, self._probability))
        change = probability - probability[0]
        return Lesions(
            model=self._model.name,
            version=self._model.version,
            images=len(self._images),
            blocks=[block.name for block in self._model.blocks],
            accuracy=float(accuracy[0]),
            probability=float(probability[0]),
            block_accuracy=accuracy[1 : 1 + blocks],
            block_change=change[1 : 1 + blocks],
            removed=np.array(self._random, np.int64),
            random_accuracy=accuracy[1 + blocks :].reshape(shape),
            random_change=change[1 + blocks :].reshape(shape),
        )


def _check_labels(labels: npt.ArrayLike, classes: int) -> npt.NDArray[np.int64]:
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InvalidRequest(f"labels: {array.dtype} {list(array.shape)}; expected integers [n], indices of classes")
    if (wrong := np.flatnonzero((array < 0) | (array >= classes))).size:
        raise InvalidRequest(f"label {wrong[0]} is {array[wrong[0]]}; expected 0 to {classes - 1}")
    return array.astype(np.int64)


def _scales(blocks: int, random: Sequence[int], draws: int, seed: int) -> npt.NDArray[np.float32]:
    """Intact, then without each block, then without each draw of each number of random blocks: [m, L]."""
    generator = np.random.default_rng(seed)
    scales = np.ones((1 + blocks + len(random) * draws, blocks), np.float32)
    np.fill_diagonal(scales[1:], 0)
    counts = np.repeat(np.asarray(random, np.int64), draws)
    for row, count in zip(scales[1 + blocks :], counts, strict=True):
        row[generator.choice(blocks, count, replace=False)] = 0
    return scales
