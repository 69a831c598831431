"""Examples that the page offers: one test image of each class of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from resprobe.datasets import Dataset

MAXIMUM = 12


@dataclass(frozen=True)
class Example:
    """One labelled picture: `data` is its file, `dataset` where it is from."""

    label: str
    dataset: str
    data: bytes


def choose(dataset: Dataset) -> Sequence[Example]:
    """Takes the first image of each class, as PNG files or as they are in the folder, at most MAXIMUM."""
    _, firsts = np.unique(dataset.labels, return_index=True)
    return [
        Example(dataset.classes[int(dataset.labels[row])], dataset.name, _file(dataset, row))
        for row in firsts[:MAXIMUM].tolist()
    ]


def _file(dataset: Dataset, row: int) -> bytes:
    if not isinstance(dataset.images, np.ndarray):
        return dataset.images[row].read_bytes()
    pixels, written = dataset.images[row], BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(written, "PNG")
    return written.getvalue()
