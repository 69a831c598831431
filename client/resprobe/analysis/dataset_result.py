"""What a model did on many images: one row for each. In memory here, on disk in arrow.py."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe._results.model import Model
from resprobe._results.statistics import BlockStatistics


@dataclass(frozen=True, eq=False)
class Frame:
    """Classes and block statistics of n images.

    Attributes:
        model: That answered, described as it was then.
        dataset: Name of what was classified.
        index: int64 [n]: place of each image in the data set.
        files: The n picture files; None for images that have none of their own.
        labels: int64 [n], each an index into the model's classes; None if they are not known.
        predicted: int64 [n], likewise.
        probability: float32 [n]: of the predicted class.
        blocks: Statistics of every block for every image.
        notes: Sentences on how the images were read and how their classes were matched with the model's.
    """

    model: Model
    dataset: str
    index: npt.NDArray[np.int64]
    files: tuple[str, ...] | None
    labels: npt.NDArray[np.int64] | None
    predicted: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float32]
    blocks: BlockStatistics
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.index)

    @property
    def correct(self) -> npt.NDArray[np.bool_] | None:
        """Whether the predicted class is the label: bool [n]; None without labels."""
        return None if self.labels is None else self.predicted == self.labels

    @property
    def accuracy(self) -> float | None:
        """Share of images whose predicted class is their label; None without labels."""
        return None if self.correct is None else float(self.correct.mean())

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "Frame":
        """Some of the images, by their places here or by a mask."""
        places = np.arange(len(self))[rows]
        return replace(
            self,
            index=self.index[places],
            files=None if self.files is None else tuple(self.files[place] for place in places),
            labels=None if self.labels is None else self.labels[places],
            predicted=self.predicted[places],
            probability=self.probability[places],
            blocks=self.blocks.take(places),
        )

    def table(self) -> Any:
        """As a pyarrow.Table, one row for each image; see parquet.schema. `.to_pandas()` where pandas is there."""
        from resprobe.analysis import arrow

        return arrow.table(self)
