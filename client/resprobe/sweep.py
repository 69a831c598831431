"""Asks a model about a whole data set: classes and block statistics of every image, at the server's full speed."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resprobe.client import Client
from resprobe.datasets import Dataset
from resprobe.images import Images
from resprobe.result import Model, Result
from resprobe.statistics import BlockStatistics

BATCH = 128  # images in a request


@dataclass(frozen=True)
class Sweep:
    """What a model did on a data set.

    Attributes:
        model: That answered.
        blocks: Statistics of every image, in the order of the data set.
        correct: Images whose best class is their label, by index.
        seconds: That it took.
    """

    model: Model
    blocks: BlockStatistics
    correct: int
    seconds: float

    @property
    def accuracy(self) -> float:
        """Share of images whose best class is their label."""
        return self.correct / len(self.blocks)


def sweep(
    client: Client, dataset: Dataset, model: Model, out: Path | None, report: Callable[[int, int], None]
) -> Sweep:
    """Sends every image of a data set.

    Args:
        client: Connected to the server.
        dataset: To send.
        model: To ask.
        out: A Parquet file to write one row for each image to, if any.
        report: Told after each answer how many images were answered, and of how many.

    Raises:
        Error: See the tree in resprobe.errors. No file is written then.
    """
    begin, parts, correct, at = time.perf_counter(), [], 0, 0
    with ExitStack() as stack:
        file = None
        if out is not None:
            from resprobe.frame import ParquetFile

            file = stack.enter_context(ParquetFile(out, model, dataset.name))
        answers = client.stream(_batches(dataset), model=model.name, version=model.version, blocks=True, top_k=1)
        for result in answers:
            assert result.blocks is not None
            labels = dataset.labels[at : at + len(result)]
            if file is not None:
                file.write(result, labels, _files(dataset, at, result))
            parts.append(result.blocks)
            correct += int((result.classes[:, 0] == labels).sum())
            at += len(result)
            report(at, len(dataset))
    return Sweep(model, BlockStatistics.concatenate(parts), correct, time.perf_counter() - begin)


def _batches(dataset: Dataset) -> Iterator[Images]:
    for start in range(0, len(dataset), BATCH):
        images = dataset.images[start : start + BATCH]
        yield images if isinstance(images, np.ndarray) else list(images)


def _files(dataset: Dataset, start: int, result: Result) -> list[str] | None:
    if isinstance(dataset.images, np.ndarray):
        return None
    return [str(path) for path in dataset.images[start : start + len(result)]]
