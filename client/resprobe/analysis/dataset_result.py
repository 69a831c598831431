"""Result of a model on many images: one row for each image. In memory here, in Parquet files in arrow.py."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from resprobe._results import html
from resprobe._results.model import Model
from resprobe._results.statistics import STATISTICS, BlockStatistics, summarise
from resprobe._results.tabular import Column, Tabular
from resprobe.analysis.early_answers import EarlyAnswers


@dataclass(frozen=True, eq=False, repr=False)
class Frame(Tabular):
    """Classes and block statistics of n images. As a table it has one row for each image.

    Attributes:
        model: Description of the model, as it was when it answered.
        dataset: Name of what was classified.
        index: Place of each image in the data set, int64 [n].
        files: The n picture files. If None, the images are not files.
        labels: Index of each image's class in the model's classes, int64 [n]. If None, the labels are not known.
        predicted: Index of each predicted class in the model's classes, int64 [n].
        probability: Probability of each predicted class, float32 [n].
        blocks: Statistics of every block for every image.
        notes: Sentences on how the images were read and how their classes were matched with the model's.
        early: Best classes after each block with a readout. If None, they were not asked for; files do not hold them.
        depth: Prediction depth of each image, as the place of a block, int64 [n]. If None, it is not known.
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
    early: EarlyAnswers | None = None
    depth: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        """Returns one line: the model, the images and the accuracy."""
        accuracy = "" if self.accuracy is None else f", accuracy={self.accuracy:.4f}"
        return (
            f"Frame({self.model.name!r}, version={self.model.version!r}, dataset={self.dataset!r}, "
            f"images={len(self)}, blocks={len(self.blocks.names)}{accuracy})"
        )

    @property
    def correct(self) -> npt.NDArray[np.bool_] | None:
        """Whether the predicted class is the label, bool [n]. If None, the labels are not known."""
        return None if self.labels is None else self.predicted == self.labels

    @property
    def accuracy(self) -> float | None:
        """Share of images whose predicted class is their label. If None, the labels are not known."""
        return None if self.correct is None else float(self.correct.mean())

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "Frame":
        """Returns some of the images, by their places here or by a mask."""
        places = np.arange(len(self))[rows]
        return replace(
            self,
            index=self.index[places],
            files=None if self.files is None else tuple(self.files[place] for place in places),
            labels=None if self.labels is None else self.labels[places],
            predicted=self.predicted[places],
            probability=self.probability[places],
            blocks=self.blocks.take(places),
            early=None if self.early is None else self.early.take(places),
            depth=None if self.depth is None else self.depth[places],
        )

    def _columns(self) -> Mapping[str, Column]:
        """Returns columns of images, `depth` if it is known, and one for each statistic of each block.

        Those of statistics are named like ratio.stage1.block0.
        """
        columns: dict[str, Column] = {
            "index": self.index,
            "file": [None] * len(self) if self.files is None else list(self.files),
            "label": [None] * len(self) if self.labels is None else self.labels,
            "predicted": self.predicted,
            "probability": self.probability,
        }
        if self.depth is not None:
            columns["depth"] = self.depth
        for statistic in STATISTICS:
            values = getattr(self.blocks, statistic)
            columns |= {f"{statistic}.{name}": values[:, place] for place, name in enumerate(self.blocks.names)}
        return columns

    def _repr_html_(self) -> str:
        """Returns what notebooks show: means over the images, one row for each block."""
        means = {statistic: summarise(getattr(self.blocks, statistic)).mean for statistic in STATISTICS}
        return html.table({"block": self.blocks.names, **means}, repr(self), bars="ratio")
