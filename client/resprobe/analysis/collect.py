"""Asks a model about many images: classes and block statistics of every one, at the server's full speed."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resprobe._classes import match
from resprobe._client import Client
from resprobe._pictures.batches import BATCH, batches
from resprobe._results.model import Model
from resprobe._results.statistics import BlockStatistics
from resprobe.analysis.dataset_result import Frame
from resprobe.cli import resized
from resprobe.datasets import Dataset
from resprobe.errors import InvalidRequest

FILES = "picture files"  # what a frame calls images that belong to no data set


def sweep(
    client: Client,
    source: Dataset | Sequence[Path],
    model: Model | str = "",
    report: Callable[[int, int], object] = max,
    *,
    resize: bool = False,
) -> Frame:
    """Sends all images of a data set, or picture files.

    Args:
        client: Connected to the server.
        source: What to send. Its classes are found among the model's by name, see resprobe.classes.
        model: To ask: a description that `Client.model` returned, or NAME or NAME/VERSION; empty: the only one.
        report: Told after each answer how many images were answered, and of how many.
        resize: Whether the images of a data set may have another size or other channels than the model's. Picture
            files may always, and are resized.

    Raises:
        InvalidRequest: The data set is of another kind than the model's: its images or its classes do not fit.
        Error: See the tree in resprobe.errors.
    """
    if isinstance(model, str):
        model = find(client, model)
    labels, notes = fitted(source, model, resize) if isinstance(source, Dataset) else (None, ())
    paths = source.images if isinstance(source, Dataset) else source
    files = None if isinstance(paths, np.ndarray) else tuple(str(path) for path in paths)
    results, done = [], 0
    for result in client.stream(_parts(paths), model=model.name, version=model.version, blocks=True, top_k=1):
        results.append(result)
        done += len(result)
        report(done, len(source))
    if files is not None:
        sizes = [size for result in results for size in result.resized_from]
        notes += resized.notes(files, sizes, (model.height, model.width))
    return Frame(
        model=model,
        dataset=source.name if isinstance(source, Dataset) else FILES,
        index=source.index if isinstance(source, Dataset) else np.arange(len(source)),
        files=files,
        labels=labels,
        predicted=np.concatenate([result.classes[:, 0] for result in results]),
        probability=np.concatenate([result.probabilities[:, 0] for result in results]),
        blocks=BlockStatistics.concatenate([result.blocks for result in results if result.blocks is not None]),
        notes=notes,
    )


def fitted(source: Dataset, model: Model, resize: bool = False) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Checks that a data set is of the model's kind.

    Returns:
        Its labels as indices into the model's classes, int64 [n], and sentences on what was assumed.

    Raises:
        InvalidRequest: It is not.
    """
    wanted = (model.height, model.width, model.channels)
    notes = [*source.notes]
    if isinstance(source.images, np.ndarray) and source.images.shape[1:] != wanted:
        sizes = f"images of {source.name} are {_times(source.images.shape[1:])}"
        if not resize:
            raise InvalidRequest(
                f"{sizes}, and model {model.name} is for {_times(wanted)}: expected a data set of the model's kind, or "
                "--resize (resize=True), which sends them all the same"
            )
        notes.append(f"{sizes} and were resized to {_times(wanted)}")
    found = match(source.classes, model.classes, f"data set {source.name}", f"model {model.name}")
    notes += [found.note] if found.note else []
    return found.indices[source.labels], tuple(notes)


def find(client: Client, name: str) -> Model:
    """The description of NAME or NAME/VERSION. Raises ModelNotFound."""
    return client.model(*name.partition("/")[::2])


def _parts(images: npt.NDArray[np.uint8] | Sequence[Path]) -> Iterator[npt.NDArray[np.uint8] | list[Path]]:
    """Yields what goes into each request."""
    if isinstance(images, np.ndarray):
        yield from (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    else:
        yield from map(list, batches(images))


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
