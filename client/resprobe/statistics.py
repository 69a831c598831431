"""What the magnitudes of a block mean: from the four numbers that a graph returns to ratio, cosine and deviation.

With F(x) the branch of a block and s(x) its shortcut (He et al. 2015, arXiv 1512.03385), for one image, over channels
and positions:

    branch_l2    ‖F(x)‖₂
    shortcut_l2  ‖s(x)‖₂
    ratio        ‖F(x)‖ / ‖s(x)‖; inf where only the shortcut is zero, nan where both are
    cosine       ⟨F(x), s(x)⟩ / (‖F(x)‖ ‖s(x)‖); nan where either is zero
    branch_std   standard deviation of F(x), which Fig. 7 of the paper plots
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
STATISTICS = ("branch_l2", "shortcut_l2", "ratio", "cosine", "branch_std")


@dataclass(frozen=True)
class BlockStatistics:
    """Statistics of every block for every image; see the top of this module for their meaning.

    Attributes:
        names: Of the L blocks, from input to output, for example stage2.block0.
        branch_l2: float32 [n, L].
        shortcut_l2: float32 [n, L].
        ratio: float32 [n, L].
        cosine: float32 [n, L], in [-1, 1].
        branch_std: float32 [n, L].
    """

    names: list[str]
    branch_l2: Array
    shortcut_l2: Array
    ratio: Array
    cosine: Array
    branch_std: Array

    def __len__(self) -> int:
        return len(self.branch_l2)

    @classmethod
    def derive(
        cls, names: Sequence[str], sizes: Sequence[int], branch_l2: Array, shortcut_l2: Array, dot: Array, mean: Array
    ) -> "BlockStatistics":
        """Derives what the graphs leave to their readers, in float64.

        Args:
            names: Of the L blocks.
            sizes: Values in each block's branch: channels × height × width.
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
        arrays = (value.astype(np.float32) for value in (branch, shortcut, ratio, cosine, std))
        return cls(list(names), *arrays)

    @classmethod
    def concatenate(cls, parts: Sequence["BlockStatistics"]) -> "BlockStatistics":
        """The images of all parts, one after the other. The parts are of the same blocks; there is at least one."""
        arrays = ([getattr(part, name) for part in parts] for name in STATISTICS)
        return cls(parts[0].names, *(np.concatenate(array) for array in arrays))
