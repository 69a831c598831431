"""Data sets on disk in their official layouts."""

from pathlib import Path

import numpy as np
from PIL import Image
from resprobe import datasets
from resprobe.datasets import CIFAR


def write_cifar(directory: Path, name: str = "cifar10", records: int = 3) -> Path:
    """All files of a CIFAR data set; image i of each file is filled with value i, its label is i."""
    layout = CIFAR[name]  # type: ignore[index]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / layout.names).write_text("\n".join(f"c{index}" for index in range(layout.classes)) + "\n\n")
    for file in (*layout.train, *layout.test):
        rows = np.zeros((records, layout.label_bytes + 3072), np.uint8)
        rows[:, layout.label_bytes - 1] = np.arange(records)
        rows[:, layout.label_bytes :] = np.arange(records)[:, None]
        rows[:, layout.label_bytes + 1024 : layout.label_bytes + 2048] += 100  # green
        (directory / file).write_bytes(rows.tobytes())
    return directory


def write_folder(directory: Path, sizes: dict[str, int]) -> None:
    for name, count in sizes.items():
        (directory / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (10, 20), (index, 0, 0)).save(directory / name / f"{index}.png")


def write_digits(directory: Path, count: int) -> None:
    """Pictures of scikit-learn's digits, so many of each class."""
    images = datasets.load("digits", None, "train")
    for label, name in enumerate(images.classes):
        (directory / name).mkdir(parents=True)
        for index, row in enumerate(np.flatnonzero(images.labels == label)[:count]):
            Image.fromarray(np.asarray(images.images[row])[..., 0]).convert("RGB").save(
                directory / name / f"{index}.png"
            )
