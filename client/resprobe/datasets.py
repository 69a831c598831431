"""Labelled images from the user's disk, or scikit-learn's digits, to train on or to classify. None of this needs torch.

CIFAR is read in its official binary layout (https://www.cs.toronto.edu/~kriz/cifar.html), never from pickles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from resprobe._pictures import folders
from resprobe._pictures.folders import Split
from resprobe._pictures.formats import ALL, NAMES
from resprobe._pictures.images import Fitted, fitted
from resprobe._pictures.resize_and_crop import ResizeAndCrop
from resprobe.errors import DatasetError, MissingPackage

Name = Literal["digits", "cifar10", "cifar100", "folder"]
DIGITS_TEST_IMAGES = 360


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images.

    Attributes:
        name: Name of the data set.
        images: uint8 [n, height, width, channels], or paths of n picture files.
        labels: int64 [n], each an index into `classes`.
        classes: Names of the classes.
        index: Place of each image in its part of the data set on disk, int64 [n].
        notes: Sentences on what was read and what was left out.
    """

    name: Name
    images: npt.NDArray[np.uint8] | Sequence[Path]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    index: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> "Dataset":
        """Returns some of the images, by their places in this object."""
        images = self.images[rows] if isinstance(self.images, np.ndarray) else [self.images[row] for row in rows]
        return replace(self, images=images, labels=self.labels[rows], index=self.index[rows])

    def head(self, count: int | None) -> "Dataset":
        """Returns the first `count` images. If None, all of them."""
        return self.window(count)

    def window(self, limit: int | None = None, offset: int = 0, seed: int | None = None) -> "Dataset":
        """Returns a part of the images: those from `offset` on, or a random sample of them.

        Args:
            limit: Maximum images. If None, all.
            offset: Number of images to skip.
            seed: Seed of a sample without replacement, in the order on disk. If None, the first images are taken.

        Raises:
            DatasetError: No image is left.
        """
        rows = np.arange(offset, len(self))
        if not len(rows):
            raise DatasetError(f"--offset {offset}: {self.name} has {len(self):,} images")
        if seed is None:
            return self.take(rows[:limit])
        count = len(rows) if limit is None else min(limit, len(rows))
        return self.take(np.sort(np.random.default_rng(seed).choice(rows, count, replace=False)))


def load(name: Name, directory: str | PathLike[str] | None = None, split: Split = "test") -> Dataset:
    """Reads a data set.

    Args:
        name: digits (embedded in scikit-learn), cifar10 or cifar100 (binary files in `directory`) or folder (one
            sub-directory of pictures for each class).
        directory: Directory of the files. For CIFAR, that of the .bin files or its parent.
        split: Part to read. Of a folder without parts, all is read. Damaged pictures raise when they are decoded, not
            here.

    Raises:
        DatasetError: A file is missing, truncated or unreadable, a label is out of range or a class is empty.
        MissingPackage: scikit-learn, which holds the digits, is not installed.
    """
    if name == "digits":
        return _digits(split)
    if directory is None:
        raise DatasetError(f"--dataset {name} needs --data DIR")
    directory = Path(directory)
    if not directory.is_dir():
        raise DatasetError(f"{directory} is not a directory; expected the files of {name} there")
    if name == "folder":
        return _folder(directory, split)
    if name in CIFAR:
        return _cifar(name, directory, split)
    raise DatasetError(f"unknown data set {name!r}; there are {', '.join(get_args(Name))}")


def _digits(split: Split) -> Dataset:
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise MissingPackage("the digits come with scikit-learn: pip install 'resprobe[digits]'") from error

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]  # 0…16 in the source
    labels = digits.target.astype(np.int64)
    order = np.arange(len(labels))
    train, test = train_test_split(order, test_size=DIGITS_TEST_IMAGES, stratify=labels, random_state=0)
    rows = np.sort(train if split == "train" else test)
    return Dataset(
        "digits", images[rows], labels[rows], tuple(str(name) for name in digits.target_names), np.arange(len(rows))
    )


@dataclass(frozen=True)
class _Cifar:
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    classes: int
    label_bytes: int  # CIFAR-100 has a coarse label before the fine one


CIFAR: dict[Name, _Cifar] = {
    "cifar10": _Cifar(
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test=("test_batch.bin",),
        names="batches.meta.txt",
        classes=10,
        label_bytes=1,
    ),
    "cifar100": _Cifar(
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        names="fine_label_names.txt",
        classes=100,
        label_bytes=2,
    ),
}


def _cifar(name: Name, directory: Path, split: Split) -> Dataset:
    layout = CIFAR[name]
    if (directory / layout.folder).is_dir():
        directory = directory / layout.folder
    classes = tuple(_read(directory / layout.names).decode().split())
    if len(classes) != layout.classes:
        raise DatasetError(f"{directory / layout.names} names {len(classes)} classes; expected {layout.classes}")
    files = layout.train if split == "train" else layout.test
    parts = [_cifar_file(directory / file, layout) for file in files]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Dataset(name, images, labels, classes, np.arange(len(labels)))


def _cifar_file(path: Path, layout: _Cifar) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    record = layout.label_bytes + 3 * 32 * 32
    data = np.frombuffer(_read(path), np.uint8)
    if len(data) == 0 or len(data) % record:
        raise DatasetError(f"{path} has {len(data)} bytes; expected a whole number of records of {record} bytes each")
    rows = data.reshape(-1, record)
    labels = rows[:, layout.label_bytes - 1].astype(np.int64)
    if (wrong := np.flatnonzero(labels >= layout.classes)).size:
        at = int(wrong[0])
        raise DatasetError(f"{path}: record {at} has label {labels[at]}; expected 0 to {layout.classes - 1}")
    images = rows[:, layout.label_bytes :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels


def _folder(directory: Path, split: Split) -> Dataset:
    found = folders.read(directory, split)
    labels = np.array(found.labels, np.int64)
    return Dataset("folder", found.files, labels, found.classes, np.arange(len(labels)), found.notes)


def read_picture(path: Path, height: int, width: int, channels: int) -> npt.NDArray[np.uint8]:
    """Reads a picture file as `read_fitted` does: uint8 [height, width, channels]."""
    return read_fitted(path, height, width, channels).pixels


def read_fitted(
    path: Path, height: int, width: int, channels: int, preprocessing: ResizeAndCrop | None = None
) -> Fitted:
    """Reads a picture file at a given size, grey or colour.

    Args:
        path: Picture file.
        height: Height of the images that a model takes.
        width: Width of these images.
        channels: Channels of these images: 1 (grey) or 3 (RGB).
        preprocessing: Preprocessing of the model. If None, the picture is resized as a whole (bilinear).

    Raises:
        DatasetError: The file is missing or is not a readable picture.
    """
    try:
        with Image.open(path, formats=tuple(ALL)) as picture:
            return fitted(picture, height, width, channels, preprocessing)
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path} cannot be read as a picture: expected a {NAMES} file") from error
    except Exception as error:  # a damaged picture makes Pillow raise in many ways
        raise DatasetError(f"{path} cannot be read as a picture: {str(error) or type(error).__name__}") from error


def read_pictures(
    paths: Sequence[Path], height: int, width: int, channels: int, preprocessing: ResizeAndCrop | None = None
) -> npt.NDArray[np.uint8]:
    """Reads picture files of any sizes as `read_fitted` does, as one array, uint8 [n, height, width, channels]."""
    return np.stack([read_fitted(path, height, width, channels, preprocessing).pixels for path in paths])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
