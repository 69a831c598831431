"""Data sets as tensors on the device: uint8 images and labels, in a training and a test part."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from resprobe import datasets
from resprobe.errors import DatasetError
from torch import Tensor

TEST_SHARE = 0.2  # of a folder that has no split of its own


@dataclass(frozen=True)
class Part:
    """Images uint8 [n, channels, height, width] and labels int64 [n], on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Part":
        """The same on another device."""
        return Part(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Data:
    """What a net is trained and tested on.

    Attributes:
        name: Of the data set.
        train: To learn from.
        test: To measure with.
        classes: Names of the classes.
        mean: Of each channel over the training images, with pixels in [0, 1].
        std: The same for the standard deviation.
        mirrored: Whether a mirrored image still shows its class: it does for photographs, not for digits.
    """

    name: str
    train: Part
    test: Part
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirrored: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


def load(
    name: datasets.Name, directory: Path | None = None, size: int = 32, mirrored: bool | None = None, seed: int = 0
) -> Data:
    """Reads both parts of a data set.

    Args:
        name: Which one.
        directory: Where its files are; not needed for digits.
        size: Height and width that pictures of a folder are resized to.
        mirrored: Whether augmentation may mirror images; None: for all data sets but digits.
        seed: Of the split of a folder that has none.

    Raises:
        DatasetError: It cannot be read; the text names the file.
    """
    if name == "folder":
        train, test, classes = _folder(directory, size, seed)
    else:
        first, second = datasets.load(name, directory, "train"), datasets.load(name, directory, "test")
        train, test, classes = _part(first), _part(second), first.classes
    pixels = train.images.double().div_(255)
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    if not std.any():
        raise DatasetError(f"all training images of {name} are one colour; there is nothing to learn")
    std = torch.where(std > 0, std, 1.0)  # a channel may be constant
    mirrored = name != "digits" if mirrored is None else mirrored
    return Data(name, train, test, classes, tuple(mean.tolist()), tuple(std.tolist()), mirrored)


def _part(dataset: datasets.Dataset, size: int | None = None) -> Part:
    if isinstance(dataset.images, np.ndarray):
        images = dataset.images
    else:
        assert size is not None
        images = datasets.read_pictures(dataset.images, size, size, 3)
    return Part(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(dataset.labels))


def _folder(directory: Path | None, size: int, seed: int) -> tuple[Part, Part, tuple[str, ...]]:
    first, second = datasets.load("folder", directory, "train"), datasets.load("folder", directory, "test")
    if first.classes != second.classes:
        raise DatasetError(f"{directory}/train and {directory}/test hold different classes")
    if list(first.images) != list(second.images):
        return _part(first, size), _part(second, size), first.classes
    from sklearn.model_selection import train_test_split

    smallest = np.bincount(first.labels).argmin()
    if (count := int((first.labels == smallest).sum())) < 2:
        name = first.classes[smallest]
        raise DatasetError(f"class {name} has {count} picture; at least 2 are needed, one to train and one to test")
    whole = _part(first, size)
    size_of_test = max(round(TEST_SHARE * len(whole)), len(first.classes))
    rows = train_test_split(np.arange(len(whole)), test_size=size_of_test, stratify=first.labels, random_state=seed)
    train, test = (Part(whole.images[part], whole.labels[part]) for part in map(torch.from_numpy, rows))
    return train, test, first.classes
