"""Asks a server about the same images with several models: ratios of every block, and of single tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from resprobe import Client, Model
from resprobe._classes import match
from resprobe._pictures.formats import NAMES, SUFFIXES
from resprobe._results.inspection import Maps
from resprobe.analysis import Frame, sweep
from resprobe.analysis.sweeps.answers import requests
from resprobe.datasets import Dataset
from resprobe.errors import DatasetError, InvalidRequest

from resprobe_exporter.errors import ExporterError

TOKEN_IMAGES = 128  # maximum number of images whose single tokens are measured
SIGMAS = 3.0  # an accuracy that is not further above guessing than this tells nothing


@dataclass(frozen=True, eq=False)
class Measured:
    """Measurements of a model.

    Attributes:
        frame: Classes and block statistics of all images.
        tokens: Norms at each token of the first images, [n, tokens, 1] for each block. If None, no token is known to be
            a class token, or the model has no graph that returns them.
        note: Sentence on why the accuracy is not known; empty if it is.
    """

    frame: Frame
    tokens: Maps | None = None
    note: str = ""

    @property
    def model(self) -> Model:
        """Description of the model."""
        return self.frame.model

    @property
    def name(self) -> str:
        """Name and version, as NAME/VERSION."""
        return f"{self.model.name}/{self.model.version}"

    @property
    def kinds(self) -> list[str]:
        """Kinds of its branches: conv, attention, mlp, in the order in which they occur."""
        return list(dict.fromkeys(block.branch for block in self.model.blocks))

    @property
    def is_transformer(self) -> bool:
        """Whether a branch is attention."""
        return "attention" in self.kinds

    @property
    def is_convolutional(self) -> bool:
        """Whether all branches are convolutions."""
        return self.kinds == ["conv"]

    @property
    def guesses(self) -> bool:
        """Whether its accuracy on these images is known, and no better than that of guessing."""
        accuracy, chance = self.frame.accuracy, 1 / len(self.model.classes)
        return accuracy is not None and accuracy <= chance + SIGMAS * (chance * (1 - chance) / len(self.frame)) ** 0.5


def find_pictures(paths: Sequence[Path], limit: int | None = None) -> list[Path]:
    """Lists picture files: those that are named, and those in folders that are named, by name.

    Args:
        paths: Files and folders.
        limit: Maximum number of files. If None, all.

    Raises:
        DatasetError: A path does not exist, or a folder holds no pictures.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [one for one in sorted(path.rglob("*")) if one.suffix.lower() in SUFFIXES and one.is_file()]
            if not inside:
                raise DatasetError(f"{path} holds no pictures; expected {NAMES} files")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise DatasetError(f"{path} does not exist; expected a picture file or a folder of pictures")
    return found[:limit]


def measure(
    client: Client,
    names: Sequence[str],
    source: Dataset | Sequence[Path],
    resize: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> list[Measured]:
    """Asks about all images with each model.

    Args:
        client: Client of the server.
        names: NAME or NAME/VERSION of at least two models.
        source: Images; those of a data set may have classes that a model does not know.
        resize: Whether arrays of another size or colour than a model's are resized.
        report: Callback that gets a sentence before each model is asked.

    Raises:
        ExporterError: There are fewer than two models, or one is named twice, or has no residual blocks.
        Error: Any of resprobe.errors.
    """
    if len(names) < 2:
        raise ExporterError(f"--models {' '.join(names)}: expected at least two models to compare")
    models = [client.model(name) for name in names]
    seen = [(model.name, model.version) for model in models]
    if repeated := [one for place, one in enumerate(seen) if one in seen[:place]]:
        raise ExporterError(f"--models: {'/'.join(repeated[0])} is named twice; expected each version once")
    for model in models:
        if not model.blocks or not model.has_blocks:
            raise ExporterError(f"model {model.name} has no residual blocks to measure; leave it out of --models")
    measured = []
    for model in models:
        report(f"asking {model.name} version {model.version} about {len(source):,} images")
        measured.append(_measure(client, model, source, resize))
    return measured


def _measure(client: Client, model: Model, source: Dataset | Sequence[Path], resize: bool) -> Measured:
    note = _why_no_accuracy(source, model)
    frame = sweep(client, source, model, progress=True, resize=resize, labels=not note)
    return Measured(frame, _tokens(client, model, source), note)


def _why_no_accuracy(source: Dataset | Sequence[Path], model: Model) -> str:
    if not isinstance(source, Dataset):
        return "the images have no labels"
    try:
        match(source.classes, model.classes)
    except InvalidRequest:
        return f"its classes are not those of {source.name}"
    return ""


def _tokens(client: Client, model: Model, source: Dataset | Sequence[Path]) -> Maps | None:
    """Asks for the norms at each token of the first images, if the first token is a class token."""
    if "maps" not in model.views or not has_class_token(model):
        return None
    images = source.images if isinstance(source, Dataset) else source
    results = client.stream(
        requests(images[:TOKEN_IMAGES], model), model=model.name, version=model.version, blocks=True, views=["maps"]
    )
    return Maps.concatenate([result.maps for result in results if result.maps is not None])


def has_class_token(model: Model) -> bool:
    """Returns whether all sums are tokens, one more than the patches of a square: the first is a class token then."""
    counts = {block.height for block in model.blocks}
    are_tokens = all(block.axes == ("tokens", "channels") for block in model.blocks)
    return are_tokens and len(counts) == 1 and float(np.sqrt(counts.pop() - 1)).is_integer()
