"""What two versions of a model did with the same images: classes, ratios of blocks, and time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Z = 1.959964  # of a 95 % interval
Floats = npt.NDArray[np.float64]


class BlockChanges:
    """How the ratios ‖F‖ / ‖s‖ of L blocks differ between two versions, over images.

    The logarithm of the quotient of both ratios is averaged (Welford 1962), so that a block that doubled and one that
    halved are equally far from unchanged. Images where one of the ratios is not finite and positive are left out.

    Attributes:
        names: Names of the blocks.
        counts: Images of each block, int64 [L].
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Begins without images."""
        self.names = tuple(names)
        self.counts = np.zeros(len(names), np.int64)
        self._sums = np.zeros((2, len(names)))
        self._mean, self._squares = np.zeros(len(names)), np.zeros(len(names))

    def add(self, current: Floats, candidate: Floats) -> None:
        """Adds an image, given its ratios with both versions, [L] each."""
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.log(candidate / current)
        good = np.isfinite(change)
        self.counts += good
        change, count = np.where(good, change, self._mean), np.maximum(self.counts, 1)
        before = change - self._mean
        self._mean = self._mean + before / count
        self._squares += np.where(good, before * (change - self._mean), 0)
        self._sums += np.where(good, np.stack([current, candidate]), 0)

    def ratios(self) -> Floats:
        """Returns the mean ratio of each block with both versions, [2, L]; nan without images."""
        with np.errstate(invalid="ignore"):
            return self._sums / np.where(self.counts, self.counts, np.nan)

    def factors(self) -> Floats:
        """Returns the mean factor of each block and its 95 % interval, [3, L]; infinitely wide below two images."""
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation = np.sqrt(self._squares / (self.counts - 1) / self.counts)
        half = np.where(self.counts > 1, Z * deviation, np.inf)
        return np.exp(np.stack([self._mean, self._mean - half, self._mean + half]))


@dataclass(eq=False)
class Comparison:
    """Comparison of two versions. The device's thread adds to it; others may see an image half added.

    Attributes:
        blocks: Changes of the blocks that both have.
        images: Images that both ran.
        agreed: Of those, the images with the same best class.
        changes: Images by both best classes, where they differ.
        dropped: Images that were chosen and not run, because the device was busy.
        failed: Images that one of them failed on.
        failure: Last reason.
        seconds: Total time of the current version and of the candidate.
    """

    blocks: BlockChanges
    images: int = 0
    agreed: int = 0
    changes: Counter[tuple[int, int]] = field(default_factory=Counter)
    dropped: int = 0
    failed: int = 0
    failure: str = ""
    seconds: tuple[float, float] = (0.0, 0.0)

    def add(self, classes: tuple[int, int], seconds: tuple[float, float]) -> None:
        """Adds an image: its best class, and the time that it took, with the current version and the candidate."""
        current, candidate = classes
        if current == candidate:
            self.agreed += 1
        else:
            self.changes[current, candidate] += 1
        self.seconds = self.seconds[0] + seconds[0], self.seconds[1] + seconds[1]
        self.images += 1
