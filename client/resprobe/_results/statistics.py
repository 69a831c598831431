"""Meaning of the magnitudes of a block: from the four numbers that a graph returns to ratio, cosine and deviation.

With F(x) the branch of a block and s(x) its shortcut (He et al. 2015, arXiv 1512.03385), for one image, over channels
and positions:

    branch_l2    ‖F(x)‖₂
    shortcut_l2  ‖s(x)‖₂
    ratio        ‖F(x)‖ / ‖s(x)‖; inf where only the shortcut is zero, nan where both are
    cosine       ⟨F(x), s(x)⟩ / (‖F(x)‖ ‖s(x)‖); nan where either is zero
    branch_std   standard deviation of F(x), which Fig. 7 of the paper plots
    branch_mean  mean of F(x)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resprobe._results import html
from resprobe._results.inspection import influence
from resprobe._results.tabular import Column, Tabular

Array = npt.NDArray[np.float32]
STATISTICS = ("branch_l2", "shortcut_l2", "ratio", "cosine", "branch_std", "branch_mean")
LOW, HIGH = 0.1, 0.9  # the spread over images that tables and plots show


@dataclass(frozen=True, eq=False, repr=False)
class BlockStatistics(Tabular):
    """Statistics of every block for n images. `len(blocks)` is n; as a table it has one row for each image and block.

    Attributes:
        names: Names of the L blocks, from input to output, for example stage2.block0.
        branch_l2: ‖F(x)‖₂, float32 [n, L].
        shortcut_l2: ‖s(x)‖₂, float32 [n, L].
        ratio: ‖F(x)‖ / ‖s(x)‖, float32 [n, L]; inf where only the shortcut is zero, nan where both are.
        cosine: Cosine of the angle between F(x) and s(x), float32 [n, L], in [-1, 1]; nan where either is zero.
        branch_std: Standard deviation of F(x), float32 [n, L].
        branch_mean: Mean of F(x), float32 [n, L].
    """

    names: list[str]
    branch_l2: Array
    shortcut_l2: Array
    ratio: Array
    cosine: Array
    branch_std: Array
    branch_mean: Array

    def __len__(self) -> int:
        return len(self.branch_l2)

    def __repr__(self) -> str:
        """Returns one line, with the smallest and the largest mean ratio."""
        means = summarise(self.ratio).mean
        known = means[np.isfinite(means)]
        span = f", mean ratio={known.min():.3f}…{known.max():.3f}" if len(known) else ""
        return f"BlockStatistics(images={len(self)}, blocks={len(self.names)}{span})"

    @classmethod
    def derive(
        cls, names: Sequence[str], sizes: Sequence[int], branch_l2: Array, shortcut_l2: Array, dot: Array, mean: Array
    ) -> "BlockStatistics":
        """Derives what the graphs leave to their readers, in float64.

        Args:
            names: Names of the L blocks.
            sizes: Number of values in each block's branch: channels × height × width.
            branch_l2: [n, L].
            shortcut_l2: [n, L].
            dot: ⟨F(x), s(x)⟩, [n, L].
            mean: Mean of F(x), [n, L].
        """
        branch, shortcut, inner, average = (np.asarray(a, np.float64) for a in (branch_l2, shortcut_l2, dot, mean))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = branch / shortcut
            cosine = np.clip(inner / (branch * shortcut), -1, 1)
        variance = branch**2 / np.asarray(sizes, np.float64) - average**2
        std = np.sqrt(np.maximum(variance, 0))
        arrays = (value.astype(np.float32) for value in (branch, shortcut, ratio, cosine, std, average))
        return cls(list(names), *arrays)

    @classmethod
    def concatenate(cls, parts: Sequence["BlockStatistics"]) -> "BlockStatistics":
        """Joins statistics of the same blocks for different images; there is at least one part."""
        arrays = ([getattr(part, name) for part in parts] for name in STATISTICS)
        return cls(parts[0].names, *(np.concatenate(array) for array in arrays))

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "BlockStatistics":
        """Returns the statistics of some images only, by their places or by a mask."""
        return BlockStatistics(self.names, *(getattr(self, name)[rows] for name in STATISTICS))

    @property
    def influence(self) -> npt.NDArray[np.float64]:
        """1 − cos(s, s + F) of each block, float64 [n, L]: how far it turns what passes through.

        Men et al. 2024, arXiv 2403.03853. 0 where F is zero; nan where s or s + F is.
        """
        return influence(self.branch_l2, self.shortcut_l2, self.cosine)

    def pooled_std(self) -> npt.NDArray[np.float64]:
        """Pools the standard deviation of each branch over images, channels and positions: float64 [L].

        By the law of total variance. This, not the mean of `branch_std`, is what a batch norm's γ and β predict.
        """
        within = np.square(self.branch_std, dtype=np.float64).mean(axis=0)
        pooled: npt.NDArray[np.float64] = np.sqrt(within + self.branch_mean.var(axis=0, dtype=np.float64))
        return pooled

    def _columns(self) -> Mapping[str, Column]:
        n, length = len(self), len(self.names)
        return {
            "image": np.repeat(np.arange(n), length),
            "block": self.names * n,
            **{name: getattr(self, name).ravel() for name in STATISTICS},
        }

    def _repr_html_(self) -> str:
        ratio, columns = summarise(self.ratio), {}
        if len(self) > 1:
            columns = {f"ratio {LOW:.0%}": ratio.low, f"ratio {HIGH:.0%}": ratio.high}
        others = {name: summarise(getattr(self, name)).mean for name in STATISTICS if name != "ratio"}
        shown: dict[str, Column] = {"block": self.names, "ratio": ratio.mean, **columns, **others}
        return html.table(shown, f"{self!r}; means over images", bars="ratio", rows=len(self.names))


@dataclass(frozen=True, eq=False)
class Summary:
    """A statistic over images, without those where it is infinite or not a number; nan where none is left.

    Attributes:
        mean: float64 [L].
        low: Quantile LOW, float64 [L].
        median: float64 [L].
        high: Quantile HIGH, float64 [L].
        count: Number of images that it is over, int64 [L].
    """

    mean: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    median: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]


def summarise(values: npt.NDArray[np.floating]) -> Summary:
    """Computes mean and quantiles over images, for each block.

    Args:
        values: [n, L], n at least 1.
    """
    finite, length = np.isfinite(values), values.shape[1]
    rows = np.full((4, length), np.nan)
    whole = finite.all(axis=0)
    for columns in (whole, *(np.arange(length) == place for place in np.flatnonzero(~whole & finite.any(axis=0)))):
        part = values[:, columns][finite[:, columns].all(axis=1)].astype(np.float64)
        if part.size:
            rows[:, columns] = part.mean(axis=0), *np.quantile(part, (LOW, 0.5, HIGH), axis=0)
    mean, low, median, high = rows
    return Summary(mean, low, median, high, finite.sum(axis=0))
