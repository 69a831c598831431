"""Images to calibrate on, and images to test with: never the same ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from resprobe import datasets

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.nets.info import ImageShape
from resprobe_exporter.nets.preprocessing import Pictures
from resprobe_exporter.training import data
from resprobe_exporter.versions import test_set
from resprobe_exporter.versions.test_set import LabelledImages


@dataclass(frozen=True, eq=False)
class Calibration:
    """Training images that ranges of tensors are read off.

    Attributes:
        dataset: Name of the data set.
        images: Images, uint8 [n, height, width, channels].
        drawn_from: Number of training images that they were drawn from.
        seed: Seed of the sample.
    """

    dataset: str
    images: npt.NDArray[np.uint8]
    drawn_from: int
    seed: int


def load(
    dataset: datasets.Name,
    directory: Path | None,
    shape: ImageShape,
    count: int,
    seed: int,
    pictures: Pictures | None = None,
) -> tuple[Calibration, LabelledImages]:
    """Draws calibration images from the training part of a data set, and reads its test part.

    Args:
        dataset: Name of the data set.
        directory: Directory of its files.
        shape: Height, width and channels of the model's images.
        count: Number of calibration images; fewer if there are fewer.
        seed: Seed of the sample, and of the split of a folder that has none: that of the net's training.
        pictures: How the pictures of a folder become images of the model. If None, they are resized as a whole.

    Raises:
        ExporterError: The images are of another size, or there are none to calibrate on.
        DatasetError: They cannot be read.
    """
    if count < 1:
        raise ExporterError(f"--calibration-images {count}: expected 1 or more")
    if dataset == "folder":
        train, test = _folder(directory, shape, seed, pictures)
    else:
        train, test = _parts(dataset, directory, shape)
    if not len(train):
        raise ExporterError(f"data set {dataset} has no training images to calibrate on")
    rows = np.sort(np.random.default_rng(seed).choice(len(train), min(count, len(train)), replace=False))
    return Calibration(dataset, train[rows], len(train), seed), test


def _parts(
    dataset: datasets.Name, directory: Path | None, shape: ImageShape
) -> tuple[npt.NDArray[np.uint8], LabelledImages]:
    test = test_set.load(dataset, directory, shape)  # refuses images of another size
    train = datasets.load(dataset, directory, "train").images
    return np.asarray(train), test


def _folder(
    directory: Path | None, shape: ImageShape, seed: int, pictures: Pictures | None
) -> tuple[npt.NDArray[np.uint8], LabelledImages]:
    """Reads pictures in the split that a training with this seed makes."""
    height, width, channels = shape
    if height != width or channels != 3:
        size = f"{height}×{width}×{channels}"
        raise ExporterError(f"a folder's pictures calibrate nets of square RGB images; the model takes {size}")
    loaded = data.load("folder", directory, height, seed=seed, pictures=pictures)
    test = LabelledImages("folder", _arrays(loaded.test.images), loaded.test.labels.numpy(), loaded.classes)
    return _arrays(loaded.train.images), test


def _arrays(images: torch.Tensor) -> npt.NDArray[np.uint8]:
    array: npt.NDArray[np.uint8] = images.permute(0, 2, 3, 1).contiguous().numpy()
    return array
