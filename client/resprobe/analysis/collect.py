"""Asks a model about many images: classes and block statistics of every one, at the server's full speed."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from resprobe._classes import match
from resprobe._client import Client
from resprobe._pictures.batches import BATCH, batches
from resprobe._progress import shown
from resprobe._results.inspection import View
from resprobe._results.model import Model
from resprobe._results.result import ProbedResult
from resprobe._results.statistics import BlockStatistics
from resprobe.analysis import resized
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.early_answers import EarlyAnswers
from resprobe.datasets import Dataset
from resprobe.errors import InvalidRequest

FILES = "picture files"  # name of images that belong to no data set


def sweep(
    client: Client,
    source: Dataset | Sequence[Path],
    model: Model | str = "",
    *,
    progress: bool | Callable[[int, int], object] = False,
    resize: bool = False,
    readouts: bool = False,
    labels: bool = True,
) -> Frame:
    """Sends all images of a data set, or picture files.

    Args:
        client: Client of the server.
        source: Images to send. The classes of a data set are matched with the model's by name.
        model: Description that `Client.model` returned, or NAME or NAME/VERSION. If empty, the only model.
        progress: If True, a bar on standard error; or a function that is called after each response with the number of
            images that are done and of all images.
        resize: Whether the images of a data set may have another size or other channels than the model's. Picture
            files always may. The server resizes them.
        readouts: Whether to ask for the best class after each block too, as Frame.early and Frame.depth.
        labels: Whether to match the classes of a data set with the model's. If not, they may be others, and
            Frame.labels is None.

    Raises:
        InvalidRequest: There are no images, or the images or classes of the data set do not fit the model.
        Error: Any of resprobe.errors.
    """
    if not len(source):
        raise InvalidRequest("no images were given; expected at least one")
    if isinstance(model, str):
        model = client.model(model)
    known, notes = _labels_and_notes(source, model, resize, labels)
    images = source.images if isinstance(source, Dataset) else source
    results = _ask(client, images, model, progress, ["readouts"] if readouts else [])
    files = None if isinstance(images, np.ndarray) else tuple(str(path) for path in images)
    if files is not None:
        sizes = [size for result in results for size in result.resized_from]
        notes += resized.notes(files, sizes, model)
    name, index = (source.name, source.index) if isinstance(source, Dataset) else (FILES, np.arange(len(source)))
    return _frame(results, model, name, index, files, known, notes)


def _labels_and_notes(
    source: Dataset | Sequence[Path], model: Model, resize: bool, labels: bool
) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    if not isinstance(source, Dataset):
        return None, ()
    return fitted(source, model, resize) if labels else (None, tuple(_check_size(source, model, resize)))


def _ask(
    client: Client,
    images: npt.NDArray[np.uint8] | Sequence[Path],
    model: Model,
    progress: bool | Callable[[int, int], object],
    views: Sequence[View],
) -> list[ProbedResult]:
    """Sends the images in parts and returns the results in their order."""
    results: list[ProbedResult] = []
    done = 0
    with shown(progress, f"{model.name} version {model.version}") as report:
        name, version = model.name, model.version
        for result in client.stream(
            parts(images, model), model=name, version=version, blocks=True, top_k=1, views=views
        ):
            results.append(result)
            done += len(result)
            report(done, len(images))
    return results


def _frame(
    results: Sequence[ProbedResult],
    model: Model,
    name: str,
    index: npt.NDArray[np.int64],
    files: tuple[str, ...] | None,
    labels: npt.NDArray[np.int64] | None,
    notes: tuple[str, ...],
) -> Frame:
    early = _early(results, labels)
    return Frame(
        model=model,
        dataset=name,
        index=index,
        files=files,
        labels=labels,
        predicted=np.concatenate([result.classes[:, 0] for result in results]),
        probability=np.concatenate([result.probabilities[:, 0] for result in results]),
        blocks=BlockStatistics.concatenate([result.blocks for result in results]),
        notes=notes,
        early=early,
        depth=None if early is None else early.depth,
    )


def _early(results: Sequence[ProbedResult], labels: npt.NDArray[np.int64] | None) -> EarlyAnswers | None:
    found = [result.readouts for result in results if result.readouts is not None]
    if not found:
        return None
    first, classes = found[0], np.concatenate([one.classes for one in found])
    return EarlyAnswers(first.names, first.places, first.heads, classes, labels)


def fitted(source: Dataset, model: Model, resize: bool = False) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Checks that the images and classes of a data set fit a model.

    Returns:
        The labels as indices of the model's classes, int64 [n], and sentences on what was assumed.

    Raises:
        InvalidRequest: They do not fit.
    """
    notes = _check_size(source, model, resize)
    found = match(source.classes, model.classes, f"data set {source.name}", f"model {model.name}")
    notes += [found.note] if found.note else []
    return found.indices[source.labels], tuple(notes)


def _check_size(source: Dataset, model: Model, resize: bool) -> list[str]:
    """Returns sentences on how the images were read. Raises InvalidRequest if they have another size."""
    wanted = (model.height, model.width, model.channels)
    notes = [*source.notes]
    if isinstance(source.images, np.ndarray) and source.images.shape[1:] != wanted:
        sizes = f"images of {source.name} are {_times(source.images.shape[1:])}"
        if not resize:
            raise InvalidRequest(
                f"{sizes}, and model {model.name} is for {_times(wanted)}: expected a data set of this size, or "
                "--resize (resize=True) to resize the images"
            )
        notes.append(f"{sizes} and were resized to {_times(wanted)}")
    return notes


def as_sent(images: npt.NDArray[np.uint8], model: Model) -> npt.NDArray[np.uint8] | list[Image.Image]:
    """Returns arrays of another size than a model's as pictures if it declares how to resize them, else as they are."""
    if model.preprocessing is None or images.shape[1:3] == (model.height, model.width):
        return images
    return [Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one) for one in images]


def parts(
    images: npt.NDArray[np.uint8] | Sequence[Path], model: Model
) -> Iterator[npt.NDArray[np.uint8] | list[Path] | list[Image.Image]]:
    """Yields the images of each request: arrays as they are or as pictures (`as_sent`), and picture files."""
    if isinstance(images, np.ndarray):
        yield from (as_sent(images[start : start + BATCH], model) for start in range(0, len(images), BATCH))
    else:
        yield from map(list, batches(images))


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
