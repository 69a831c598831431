"""Requests that measure lesions, and the sums of their responses. Sending them is the client's work."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from resprobe._classes import match
from resprobe._pictures.arrays import Layout
from resprobe._pictures.batches import BATCH
from resprobe._pictures.images import Images, collect
from resprobe._results.lesions import Lesions
from resprobe._results.model import Model
from resprobe._results.result import Result
from resprobe._wire.requests import PreparedRequest, RequestOptions
from resprobe.errors import InvalidRequest, StatisticsUnavailable


class LesionRun:
    """One measurement: requests with one block scale for all of their images, and the sums of their responses.

    Attributes:
        total: Number of images to be answered: each once intact, and once for every lesion.
        done: Number of images that were answered.
    """

    def __init__(
        self,
        model: Model,
        images: Images,
        labels: npt.ArrayLike,
        classes: Sequence[str] | None,
        random: Sequence[int],
        draws: int,
        seed: int,
        layout: Layout,
    ) -> None:
        """Plans the draws. Arguments and errors are those of Client.lesions."""
        if not model.has_block_scale:
            raise StatisticsUnavailable(f"model {model.name} is served without a graph that can scale its blocks")
        _check_random(random, draws, model)
        self._model, self._images = model, collect(images, layout)
        self._labels = _indices(labels, model, classes, len(self._images))
        self._random, self._draws = random, draws
        self._scales = _scales(len(model.blocks), random, draws, seed)
        self._starts = range(0, len(self._images), BATCH)
        self._correct, self._probability = np.zeros((2, len(self._scales)))
        self._answers = 0
        self.total, self.done = len(self._images) * len(self._scales), 0

    def requests(self) -> Iterator[PreparedRequest]:
        """Yields the requests. Their results must be added in the same order."""
        options = RequestOptions(self._model.name, self._model.version, top_k=len(self._model.classes))
        for scale in self._scales:
            for start in self._starts:
                yield replace(options, block_scale=scale).prepare_collected(self._images[start : start + BATCH])

    def add(self, result: Result) -> None:
        """Adds the next result to the sums."""
        scale, chunk = divmod(self._answers, len(self._starts))
        start = self._starts[chunk]
        labels = self._labels[start : start + len(result)]
        self._correct[scale] += (result.classes[:, 0] == labels).sum()
        self._probability[scale] += result.probabilities[result.classes == labels[:, None]].sum(dtype=np.float64)
        self._answers += 1
        self.done += len(result)

    def finish(self) -> Lesions:
        """Computes the lesions from the sums of all results."""
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


def _check_random(random: Sequence[int], draws: int, model: Model) -> None:
    if wrong := [count for count in random if not 0 <= count <= len(model.blocks)]:
        raise InvalidRequest(f"{wrong[0]} random blocks; model {model.name} has {len(model.blocks)} to remove")
    if random and draws < 1:
        raise InvalidRequest(f"{draws} draws; expected at least 1")


def _indices(labels: npt.ArrayLike, model: Model, classes: Sequence[str] | None, images: int) -> npt.NDArray[np.int64]:
    """Converts labels to indices of the model's classes, int64 [n]."""
    names = match(model.classes if classes is None else classes, model.classes, "the labels", f"model {model.name}")
    array, count = np.asarray(labels), len(names.indices)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InvalidRequest(f"labels: {array.dtype} {list(array.shape)}; expected integers [n], indices of classes")
    if (wrong := np.flatnonzero((array < 0) | (array >= count))).size:
        raise InvalidRequest(f"label {wrong[0]} is {array[wrong[0]]}; expected 0 to {count - 1}")
    if len(array) != images:
        raise InvalidRequest(f"{len(array)} labels for {images} images; expected one for each")
    indices: npt.NDArray[np.int64] = names.indices[array]
    return indices


def _scales(blocks: int, random: Sequence[int], draws: int, seed: int) -> npt.NDArray[np.float32]:
    """Plans the block scales: intact, without each block, then each draw of each number of random blocks, [m, L]."""
    generator = np.random.default_rng(seed)
    scales = np.ones((1 + blocks + len(random) * draws, blocks), np.float32)
    np.fill_diagonal(scales[1:], 0)
    counts = np.repeat(np.asarray(random, np.int64), draws)
    for row, count in zip(scales[1 + blocks :], counts, strict=True):
        row[generator.choice(blocks, count, replace=False)] = 0
    return scales
