"""Training images that heads are fitted on: never those that accuracy is measured on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from resprobe import datasets

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.nets.info import ImageShape

MOST, MOST_EXITS = 10_000, 50_000  # images: linear heads have few weights, those of early exits more


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """Labelled training images.

    Attributes:
        name: Name of the data set.
        images: Images, uint8 [n, height, width, channels].
        labels: Labels, int64 [n], each an index into `classes`.
        classes: Names of the classes.
        seed: Seed of the sample, and of the parts of the cross-validation.
    """

    name: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    seed: int


def load(
    dataset: datasets.Name, directory: Path | None, shape: ImageShape, seed: int = 0, most: int = MOST
) -> TrainingImages:
    """Reads training images of a data set, a sample if there are many.

    Args:
        dataset: Name of the data set.
        directory: Directory of its files.
        shape: Height, width and channels of the model's images.
        seed: Seed of the sample, and of the split of a folder that has none.
        most: Maximum number of images.

    Raises:
        ExporterError: The images are of another size.
        DatasetError: They cannot be read.
    """
    from resprobe_exporter.training import data  # not before it is needed: it imports torch

    read = data.load(dataset, directory, shape[0], seed=seed)
    part = read.train
    channels, height, width = read.shape
    if (height, width, channels) != shape:
        one, two = ("×".join(map(str, some)) for some in ((height, width, channels), shape))
        raise ExporterError(f"training images of {dataset} are {one}; the model takes {two}")
    rows = np.sort(np.random.default_rng(seed).permutation(len(part))[:most])
    images = part.images.permute(0, 2, 3, 1).numpy()[rows]
    return TrainingImages(dataset, images, part.labels.numpy()[rows], read.classes, seed)
