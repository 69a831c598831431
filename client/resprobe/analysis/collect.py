"""Asks a model about many images: classes and block statistics of every one, at the server's full speed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from resprobe._classes import match
from resprobe._client import Client
from resprobe._progress import shown
from resprobe._results.inspection import View
from resprobe._results.model import Model
from resprobe.analysis import resized
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.sweeps.answers import Answers, Images, ask
from resprobe.analysis.sweeps.ray_options import Ray
from resprobe.datasets import Dataset
from resprobe.errors import InvalidRequest

FILES = "picture files"  # name of images that belong to no data set
READOUTS: tuple[View] = ("readouts",)


def sweep(
    client: Client,
    source: Dataset | Sequence[Path],
    model: Model | str = "",
    *,
    progress: bool | Callable[[int, int], object] = False,
    resize: bool = False,
    readouts: bool = False,
    labels: bool = True,
    engine: Literal["process", "ray"] | Ray = "process",
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
        engine: Place where the images are read and sent: "process", this one; "ray", actors on a Ray cluster, or a Ray
            with options. Both give the same frame, to the last bit.

    Raises:
        InvalidRequest: There are no images, or the images or classes of the data set do not fit the model.
        Error: Any of resprobe.errors.
    """
    if not len(source):
        raise InvalidRequest("no images were given; expected at least one")
    if engine not in ("process", "ray") and not isinstance(engine, Ray):
        raise InvalidRequest(f"engine {engine!r}: expected 'process', 'ray' or a resprobe.analysis.Ray")
    if isinstance(model, str):
        model = client.model(model)
    known, notes = _labels_and_notes(source, model, resize, labels)
    images = source.images if isinstance(source, Dataset) else source
    answers = _ask(client, images, model, progress, readouts, engine)
    files = None if isinstance(images, np.ndarray) else tuple(str(path) for path in images)
    if files is not None:
        notes += resized.notes(files, answers.sizes, model)
    name, index = (source.name, source.index) if isinstance(source, Dataset) else (FILES, np.arange(len(source)))
    return _frame(answers, model, name, index, files, known, notes)


def _labels_and_notes(
    source: Dataset | Sequence[Path], model: Model, resize: bool, labels: bool
) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    if not isinstance(source, Dataset):
        return None, ()
    return fitted(source, model, resize) if labels else (None, tuple(_check_size(source, model, resize)))


def _ask(
    client: Client,
    images: Images,
    model: Model,
    progress: bool | Callable[[int, int], object],
    readouts: bool,
    engine: Literal["process", "ray"] | Ray,
) -> Answers:
    """Sends the images with an engine."""
    with shown(progress, f"{model.name} version {model.version}") as report:
        if engine == "process":
            return ask(client, images, model, READOUTS if readouts else (), report)
        from resprobe.analysis.sweeps import on_ray

        options = engine if isinstance(engine, Ray) else Ray()
        return on_ray.ask(client, images, model, READOUTS if readouts else (), report, options)


def _frame(
    answers: Answers,
    model: Model,
    name: str,
    index: npt.NDArray[np.int64],
    files: tuple[str, ...] | None,
    labels: npt.NDArray[np.int64] | None,
    notes: tuple[str, ...],
) -> Frame:
    early = None if answers.early is None else replace(answers.early, labels=labels)
    return Frame(
        model=model,
        dataset=name,
        index=index,
        files=files,
        labels=labels,
        predicted=answers.predicted,
        probability=answers.probability,
        blocks=answers.blocks,
        notes=notes,
        early=early,
        depth=None if early is None else early.depth,
    )


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


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
