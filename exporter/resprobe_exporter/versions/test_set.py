"""Labelled images that accuracy and baseline of a version are measured on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from resprobe import datasets
from resprobe._pictures.resize_and_crop import ResizeAndCrop

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.nets.info import ImageShape


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Labelled images.

    Attributes:
        name: Name of the data set.
        images: Images, uint8 [n, height, width, channels].
        labels: Labels, int64 [n], each an index into `classes`.
        classes: Names of the classes.
    """

    name: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


def load(
    dataset: datasets.Name,
    directory: Path | None,
    shape: ImageShape,
    limit: int | None = None,
    preprocessing: ResizeAndCrop | None = None,
) -> LabelledImages:
    """Reads the test images of a data set as a model takes them.

    Args:
        dataset: Name of the data set.
        directory: Directory of its files.
        shape: Height, width and channels of the model's images.
        limit: Maximum number of images. If None, all.
        preprocessing: How the pictures of a folder become images of the model. If None, they are resized as a whole.

    Raises:
        ExporterError: The images are of another size.
        DatasetError: They cannot be read.
    """
    part = datasets.load(dataset, directory, "test").head(limit)
    for note in part.notes:
        progress.note(note)
    images = part.images
    if not isinstance(images, np.ndarray):
        images = datasets.read_pictures(images, *shape, preprocessing)
    if images.shape[1:] != shape:
        raise ExporterError(f"images of {dataset} are {_times(images.shape[1:])}; the model takes {_times(shape)}")
    return LabelledImages(dataset, images, part.labels, part.classes)


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
