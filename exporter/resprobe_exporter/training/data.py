"""Data sets as tensors on the device: uint8 images and labels, in a training part and a test part."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from resprobe import datasets
from resprobe._classes import match
from resprobe.errors import DatasetError, InvalidRequest
from torch import Tensor

from resprobe_exporter.nets.layers import as_image
from resprobe_exporter.nets.preprocessing import Pictures

TEST_SHARE = 0.2  # of a folder that has no split of its own


@dataclass(frozen=True)
class Part:
    """Images uint8 [n, channels, height, width] and labels int64 [n], on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Part":
        """Returns a copy on another device."""
        return Part(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Data:
    """Images and labels that a net is trained and tested on.

    Attributes:
        name: Name of the data set.
        train: Training images.
        test: Test images.
        classes: Names of the classes.
        mean: Mean of each channel [c] or of each pixel [c, h, w] over the training images, with pixels in [0, 1].
        std: Standard deviation of each channel over the training images; 1 where `mean` is of each pixel.
        mirrored: Whether augmentation may mirror images: photographs keep their class, digits do not.
        validation: Training images that are held out. If None, no images are.
        notes: Sentences on what was read from a folder, and what was left out.
        pictures: How its pictures became images. If None, they were resized as a whole, or are images already.
    """

    name: str
    train: Part
    test: Part
    classes: tuple[str, ...]
    mean: Sequence[float] | Tensor
    std: Sequence[float] | Tensor
    mirrored: bool
    validation: Part | None = None
    notes: tuple[str, ...] = ()
    pictures: Pictures | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def to(self, device: torch.device) -> "Data":
        """Returns a copy on another device."""
        validation = None if self.validation is None else self.validation.to(device)
        return replace(self, train=self.train.to(device), test=self.test.to(device), validation=validation)


def load(
    name: datasets.Name,
    directory: Path | None = None,
    size: int = 32,
    mirrored: bool | None = None,
    seed: int = 0,
    *,
    mean: Literal["channel", "pixel"] = "channel",
    validation: int = 0,
    pictures: Pictures | None = None,
) -> Data:
    """Reads both parts of a data set.

    Args:
        name: Data set.
        directory: Directory of the data set's files; not needed for digits.
        size: Height and width that the pictures of a folder are resized to.
        mirrored: Whether augmentation may mirror images. If None, it may for all data sets but digits.
        seed: Seed of the split of a folder that has none, and of the choice of held-out images.
        mean: `channel` normalises each channel with its mean and deviation; `pixel` only subtracts each pixel's mean.
        pictures: How the pictures of a folder become images. If None, they are resized as a whole.
        validation: Training images to hold out, drawn at random: 5,000 of CIFAR-10's 50,000 in He et al. 2015, §4.2.

    Raises:
        DatasetError: A file cannot be read; the text names it. Or there are fewer training images than `validation`.
    """
    if name == "folder":
        train, test, classes, notes = _folder(directory, _Reader(size, pictures), seed)
    else:
        first, second = datasets.load(name, directory, "train"), datasets.load(name, directory, "test")
        read = _Reader(size)
        train, test, classes, notes = read.part(first), read.part(second), first.classes, ()
    train, held_out = _hold_out(train, validation, seed)
    mirrored = name != "digits" if mirrored is None else mirrored
    return Data(name, train, test, classes, *_moments(name, train, mean), mirrored, held_out, notes, pictures)


def normalise(images: Tensor, data: Data) -> Tensor:
    """Converts uint8 [n, c, h, w] to float32, subtracts the training images' mean and divides by their deviation."""
    mean, std = (as_image(values).to(images.device) for values in (data.mean, data.std))
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def _hold_out(train: Part, count: int, seed: int) -> tuple[Part, Part | None]:
    if count == 0:
        return train, None
    if not 0 < count < len(train):
        raise DatasetError(
            f"{count} images to validate with: expected 1 to {len(train) - 1}, to leave some to train on"
        )
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    rest, chosen = order[count:].sort().values, order[:count].sort().values
    return Part(train.images[rest], train.labels[rest]), Part(train.images[chosen], train.labels[chosen])


def _moments(
    name: str, train: Part, mean: Literal["channel", "pixel"]
) -> tuple[Sequence[float] | Tensor, Sequence[float]]:
    pixels = train.images.double().div_(255)
    std = pixels.std((0, 2, 3))
    if not std.any():
        raise DatasetError(f"all training images of {name} are one colour; expected images that differ")
    if mean == "pixel":
        return pixels.mean(0).float(), (1.0,) * len(std)
    std = torch.where(std > 0, std, 1.0)  # a channel may be constant
    return tuple(pixels.mean((0, 2, 3)).tolist()), tuple(std.tolist())


@dataclass(frozen=True)
class _Reader:
    """Reads pictures as square images of `size` pixels. If `pictures` is None, they are resized as a whole."""

    size: int
    pictures: Pictures | None = None

    def part(self, dataset: datasets.Dataset) -> Part:
        """Returns a data set as tensors."""
        images = dataset.images
        if not isinstance(images, np.ndarray):
            cut = None if self.pictures is None else self.pictures.for_images(self.size, self.size)
            images = datasets.read_pictures(images, self.size, self.size, 3, cut)
        return Part(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(dataset.labels))


def _folder(directory: Path | None, reader: _Reader, seed: int) -> tuple[Part, Part, tuple[str, ...], tuple[str, ...]]:
    """Returns both parts of a folder, the classes, and notes. The test part may lack some of the classes."""
    first, second = datasets.load("folder", directory, "train"), datasets.load("folder", directory, "test")
    notes = tuple(dict.fromkeys((*first.notes, *second.notes)))
    if list(first.images) == list(second.images):
        return *_split(first, reader, seed), first.classes, notes
    try:
        found = match(second.classes, first.classes, "the part to test with", "the part to train on")
    except InvalidRequest as error:
        raise DatasetError(f"{directory}: {error}") from error
    second = replace(second, labels=found.indices[second.labels])
    return reader.part(first), reader.part(second), first.classes, notes


def _split(dataset: datasets.Dataset, reader: _Reader, seed: int) -> tuple[Part, Part]:
    """Splits a folder that has no parts of its own into a training and a test part, class by class."""
    from sklearn.model_selection import train_test_split

    smallest = np.bincount(dataset.labels).argmin()
    if (count := int((dataset.labels == smallest).sum())) < 2:
        name = dataset.classes[smallest]
        raise DatasetError(f"class {name} has {count} picture; at least 2 are needed, one to train and one to test")
    whole = reader.part(dataset)
    test_size = max(round(TEST_SHARE * len(whole)), len(dataset.classes))
    rows = train_test_split(np.arange(len(whole)), test_size=test_size, stratify=dataset.labels, random_state=seed)
    train, test = (Part(whole.images[part], whole.labels[part]) for part in map(torch.from_numpy, rows))
    return train, test
