"""When a net decides: best class after each block with a readout, over many images, by right and wrong answers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from resprobe._results.inspection import prediction_depth
from resprobe._results.tabular import Column, Tabular
from resprobe.analysis.intervals import CONFIDENCE, RESAMPLES, Difference, bootstrap_mean


@dataclass(frozen=True, eq=False, repr=False)
class EarlyAnswers(Tabular):
    """Best class of n images after each of R blocks. As a table it has one row for each image.

    Attributes:
        names: Names of the R blocks that scores are read off; the last is the net's last block.
        places: Places of these blocks among all blocks of the net, int64 [R].
        heads: Head of each: "own" or "fitted".
        classes: Index of the best class after each block, int64 [n, R].
        labels: Index of each image's class, int64 [n]. If None, they are not known.
    """

    names: list[str]
    places: npt.NDArray[np.int64]
    heads: list[str]
    classes: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.classes)

    def __repr__(self) -> str:
        """Returns one line: images and blocks."""
        return f"EarlyAnswers(images={len(self)}, blocks={len(self.names)})"

    @property
    def depth(self) -> npt.NDArray[np.int64]:
        """Prediction depth of each image, [n], as of Readouts."""
        return prediction_depth(self.classes, self.places)

    def accuracy(self) -> Difference:
        """Returns the accuracy after each block, with its interval, [R]. The labels must be known."""
        return _mean(self._right())

    def overthinking(self) -> Difference:
        """Returns the share of images that were right after some block and are wrong at the end, [1].

        Kaya et al. 2019, arXiv 1810.07052, §4. The labels must be known.
        """
        right = self._right()
        return _mean((right.any(axis=1) & ~right[:, -1])[:, None])

    def mean_depth(self, right: bool | None = None) -> Difference:
        """Returns the mean prediction depth, [1]. If `right` is None, of all images; else of those answered so."""
        rows = np.ones(len(self), bool) if right is None else self._right()[:, -1] == right
        return _mean(self.depth[rows, None]) if rows.any() else Difference(*np.full((3, 1), np.nan))

    def shares(self, right: bool | None = None) -> npt.NDArray[np.float64]:
        """Returns which share of the images has its prediction depth at each block, [R]; nan if there are none."""
        rows = np.ones(len(self), bool) if right is None else self._right()[:, -1] == right
        counts = (self.depth[rows, None] == self.places).sum(axis=0)
        shares: npt.NDArray[np.float64] = counts / rows.sum() if rows.any() else np.full(len(self.places), np.nan)
        return shares

    def caution(self) -> str | None:
        """Returns a sentence on why depths lean to the last stage. If None, they do not seem to. Needs the labels.

        The net's own head was trained to read the last block, and may read earlier ones of its stage badly.
        """
        own, fitted = (np.flatnonzero([head == kind for head in self.heads]) for kind in ("own", "fitted"))
        if not fitted.size:
            alone = f"no block before {self.names[0]} has a readout, so no answer counts as decided earlier"
            return alone if self.places[0] else None
        accuracy = self._right().mean(axis=0)
        worst, before = own[accuracy[own].argmin()], fitted[-1]
        if accuracy[worst] >= accuracy[before]:
            return None
        return (
            "depths lean to the last stage: the net's own head, which was trained to read the last block, is right for "
            f"{accuracy[worst]:.1%} of the images after {self.names[worst]}, and the fitted head for "
            f"{accuracy[before]:.1%} after {self.names[before]}, before it"
        )

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "EarlyAnswers":
        """Returns some of the images, by their places or by a mask."""
        return replace(self, classes=self.classes[rows], labels=None if self.labels is None else self.labels[rows])

    def _right(self) -> npt.NDArray[np.bool_]:
        if self.labels is None:
            raise ValueError("the labels of these images are not known")
        right: npt.NDArray[np.bool_] = self.classes == self.labels[:, None]
        return right

    def _columns(self) -> Mapping[str, Column]:
        classes = {name: self.classes[:, place] for place, name in enumerate(self.names)}
        return {"label": [None] * len(self) if self.labels is None else self.labels, "depth": self.depth, **classes}


def _mean(values: npt.NDArray[np.generic]) -> Difference:
    return bootstrap_mean(values.astype(np.float64), CONFIDENCE, RESAMPLES, np.random.default_rng(0))
