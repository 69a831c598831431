"""Asks a model about many images: classes and block statistics of every one, at the server's full speed."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resprobe.client import Client
from resprobe.datasets import Dataset
from resprobe.frame import Frame
from resprobe.images import Images
from resprobe.result import Model
from resprobe.statistics import BlockStatistics

BATCH = 128  # images in a request
FILES = "picture files"  # what a frame calls images that belong to no data set


def sweep(
    client: Client,
    source: Dataset | Sequence[Path],
    model: Model | str = "",
    report: Callable[[int, int], object] = max,
) -> Frame:
    """Sends all images of a data set, or picture files.

    Args:
        client: Connected to the server.
        source: What to send.
        model: To ask: a description that `Client.model` returned, or NAME or NAME/VERSION; empty: the only one.
        report: Told after each answer how many images were answered, and of how many.

    Raises:
        Error: See the tree in resprobe.errors.
    """
    if isinstance(model, str):
        model = find(client, model)
    results, done = [], 0
    batches = _batches(source.images if isinstance(source, Dataset) else source)
    for result in client.stream(batches, model=model.name, version=model.version, blocks=True, top_k=1):
        results.append(result)
        done += len(result)
        report(done, len(source))
    paths = source.images if isinstance(source, Dataset) else source
    return Frame(
        model=model,
        dataset=source.name if isinstance(source, Dataset) else FILES,
        index=source.index if isinstance(source, Dataset) else np.arange(len(source)),
        files=None if isinstance(paths, np.ndarray) else tuple(str(path) for path in paths),
        labels=source.labels if isinstance(source, Dataset) else None,
        predicted=np.concatenate([result.classes[:, 0] for result in results]),
        probability=np.concatenate([result.probabilities[:, 0] for result in results]),
        blocks=BlockStatistics.concatenate([result.blocks for result in results if result.blocks is not None]),
    )


def find(client: Client, name: str) -> Model:
    """The description of NAME or NAME/VERSION. Raises ModelNotFound."""
    return client.model(*name.partition("/")[::2])


def _batches(images: npt.NDArray[np.uint8] | Sequence[Path]) -> Iterator[Images]:
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        yield part if isinstance(part, np.ndarray) else list(part)
