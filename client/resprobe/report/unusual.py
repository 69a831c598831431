"""Section of the report on unusual images."""

import numpy as np
import numpy.typing as npt

from resprobe._classes import match
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.outliers import scores
from resprobe.datasets import Dataset, read_pictures
from resprobe.errors import DatasetError
from resprobe.report.page import Gallery, Section, Table, picture

EACH = 4  # images for a block
OVERALL = 12
BLOCKS = 60  # maximum shown, those with the most unusual images
SIZE = 64  # pixels of a thumbnail of a picture file


def section(frame: Frame, dataset: Dataset | None) -> Section:
    """Returns the section on the most unusual images, over all blocks and of each block.

    Args:
        frame: Result to report.
        dataset: Whole data set that the images are from. If None, the images are only named.

    Raises:
        DatasetError: The images are not from the data set.
    """
    score = scores(frame.blocks.ratio)
    overall = np.argsort(-np.median(score, axis=1), kind="stable")[:OVERALL]
    order = np.argsort(-score, axis=0, kind="stable")[:EACH]
    places = np.sort(np.argsort(-score.max(axis=0), kind="stable")[:BLOCKS])
    show = _Show(frame, dataset, sorted({*overall, *order[:, places].ravel()}))
    text = (
        "The distance of an image in a block is how far the logarithm of its ratio is from the median of all images, "
        "in interquartile ranges."
    )
    lines = [show(row, f"distance {np.median(score[row]):.1f}") for row in overall]
    caption = f"Images with the largest median distance over all blocks, of n = {len(frame):,} images."
    most = Gallery(lines, caption) if dataset else Table(("over all blocks",), [[line] for line in lines], caption)
    return Section("Unusual images", [text, most, _by_block(frame, order, places, show)])


def _by_block(frame: Frame, order: npt.NDArray[np.intp], places: npt.NDArray[np.intp], show: "_Show") -> Table:
    """Returns a table of the most unusual images of each of these blocks, in the order of their distance."""
    names = frame.blocks.names
    rows = [
        [names[place], *(show(row, f"ratio {frame.blocks.ratio[row, place]:.3f}") for row in order[:, place])]
        for place in places
    ]
    some = "" if len(places) == len(names) else f", for the {BLOCKS} of {len(names)} blocks that have the most unusual"
    columns = ("block", *("most unusual" if rank == 0 else f"number {rank + 1}" for rank in range(order.shape[0])))
    caption = f"Images with the largest distance in one block{some}. n = {len(frame):,} images."
    return Table(columns, rows, caption, len(columns))


class _Show:
    """Represents images by their place, label and class, and by their picture if the data set is known."""

    def __init__(self, frame: Frame, dataset: Dataset | None, rows: list[int]) -> None:
        self._frame, self._pixels = frame, {}
        if dataset is not None:
            self._pixels = dict(zip(rows, _pixels(frame, dataset, rows), strict=True))

    def __call__(self, row: int, words: str) -> str:
        frame, classes = self._frame, self._frame.model.classes
        label = classes[frame.predicted[row]]
        if frame.labels is not None and frame.labels[row] != frame.predicted[row]:
            label = f"{classes[frame.labels[row]]}, classified as {label}"
        name = f"image {frame.index[row]}" if frame.files is None else frame.files[row].rpartition("/")[2]
        if row in self._pixels:
            return picture(self._pixels[row], f"{name}\n{label}\n{words}")
        return f"{name}: {label}, {words}"


def _pixels(frame: Frame, dataset: Dataset, rows: list[int]) -> list[npt.NDArray[np.uint8]]:
    index = frame.index[rows]
    fits = dataset.name == frame.dataset and frame.index.max() < len(dataset)
    classes = match(dataset.classes, frame.model.classes, f"data set {dataset.name}", f"model {frame.model.name}")
    labels = classes.indices[dataset.labels]
    if not fits or frame.labels is None or not np.array_equal(labels[frame.index], frame.labels):
        raise DatasetError(
            f"data set {dataset.name} does not hold the images of the report: expected the {len(frame):,} images of "
            f"{frame.dataset} that it was made from"
        )
    if isinstance(dataset.images, np.ndarray):
        return list(dataset.images[index])
    return list(read_pictures([dataset.images[place] for place in index], SIZE, SIZE, 3))
