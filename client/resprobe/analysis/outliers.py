"""Which images are unusual in a block, and the part of a report that shows them."""

import numpy as np
import numpy.typing as npt

from resprobe._classes import match
from resprobe.analysis.dataset_result import Frame
from resprobe.datasets import Dataset, read_pictures
from resprobe.errors import DatasetError
from resprobe.report.page import Gallery, Section, Table, picture

EACH = 4  # images for a block
OVERALL = 12
BLOCKS = 60  # shown; of more, those with the most unusual images
SIZE = 64  # pixels of a thumbnail of a picture file


def scores(ratio: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """How far each image's ratio is from the block's median, in interquartile ranges, on a logarithmic scale.

    Args:
        ratio: [n, L].

    Returns:
        float64 [n, L], at least 0; inf where the ratio is not finite or is zero, 0 where all images are alike.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(ratio.astype(np.float64))
    finite = np.isfinite(logs)
    found = np.full(logs.shape, np.inf)
    for place in np.flatnonzero(finite.any(axis=0)):
        rows = finite[:, place]
        low, median, high = np.quantile(logs[rows, place], (0.25, 0.5, 0.75))
        found[rows, place] = np.abs(logs[rows, place] - median) / (high - low) if high > low else 0
    return found


def section(frame: Frame, dataset: Dataset | None) -> Section:
    """The most unusual images over all blocks, and of each block.

    Raises:
        DatasetError: The data set is not the frame's.
    """
    score, names = scores(frame.blocks.ratio), frame.blocks.names
    overall = np.argsort(-np.median(score, axis=1), kind="stable")[:OVERALL]
    order = np.argsort(-score, axis=0, kind="stable")[:EACH]
    places = np.sort(np.argsort(-score.max(axis=0), kind="stable")[:BLOCKS])
    show = _Show(frame, dataset, sorted({*overall, *order[:, places].ravel()}))
    rows = [
        [names[place], *(show(row, f"ratio {frame.blocks.ratio[row, place]:.3f}") for row in order[:, place])]
        for place in places
    ]
    some = "" if len(places) == len(names) else f", for the {BLOCKS} of {len(names)} blocks that have the most unusual"
    text = (
        "Distance is measured in each block on the logarithm of the ratio, from the median of all images, in "
        "interquartile ranges."
    )
    columns = ("block", *("most unusual" if rank == 0 else f"{rank + 1}." for rank in range(order.shape[0])))
    lines = [show(row, f"distance {np.median(score[row]):.1f}") for row in overall]
    over_all = f"By the median distance over all blocks, of n = {len(frame):,} images."
    return Section(
        "Unusual images",
        [
            text,
            Gallery(lines, over_all) if dataset else Table(("over all blocks",), [[line] for line in lines], over_all),
            Table(columns, rows, f"By the distance in one block{some}, of n = {len(frame):,} images.", len(columns)),
        ],
    )


class _Show:
    """What stands for an image: its picture where the data set is there, and its place, label and class."""

    def __init__(self, frame: Frame, dataset: Dataset | None, rows: list[int]) -> None:
        self._frame, self._pixels = frame, {}
        if dataset is not None:
            self._pixels = dict(zip(rows, _pixels(frame, dataset, rows), strict=True))

    def __call__(self, row: int, words: str) -> str:
        frame, classes = self._frame, self._frame.model.classes
        said = classes[frame.predicted[row]]
        if frame.labels is not None and frame.labels[row] != frame.predicted[row]:
            said = f"{classes[frame.labels[row]]}, taken for {said}"
        where = f"image {frame.index[row]}" if frame.files is None else frame.files[row].rpartition("/")[2]
        if row in self._pixels:
            return picture(self._pixels[row], f"{where}\n{said}\n{words}")
        return f"{where}: {said}, {words}"


def _pixels(frame: Frame, dataset: Dataset, rows: list[int]) -> list[npt.NDArray[np.uint8]]:
    index = frame.index[rows]
    fits = dataset.name == frame.dataset and frame.index.max() < len(dataset)
    classes = match(dataset.classes, frame.model.classes, f"data set {dataset.name}", f"model {frame.model.name}")
    labels = classes.indices[dataset.labels]
    if not fits or frame.labels is None or not np.array_equal(labels[frame.index], frame.labels):
        raise DatasetError(f"these are not the images of the report: it is about {len(frame):,} of {frame.dataset}")
    if isinstance(dataset.images, np.ndarray):
        return list(dataset.images[index])
    return list(read_pictures([dataset.images[place] for place in index], SIZE, SIZE, 3))
