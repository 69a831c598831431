"""Early exits of a served model: where images may leave the net, and what a threshold does."""

from collections.abc import Mapping
from dataclasses import dataclass

from resprobe._results.tabular import Column, Tabular


@dataclass(frozen=True)
class ExitPoint:
    """What a threshold does.

    Attributes:
        threshold: Threshold, in (0, 1].
        accuracy: Share of the images whose answer is right.
        shares: Share of the images that leave at the end of each part.
        speedup: Images a second over those of the whole net, on one thread of the CPU where it was measured.
    """

    threshold: float
    accuracy: float
    shares: tuple[float, ...]
    speedup: float


@dataclass(frozen=True)
class EarlyExits(Tabular):
    """Parts of a net that is cut for early exits. As a table it has one row for each threshold.

    Attributes:
        blocks: Name of the block that each part ends with, the last of them the net's last.
        costs: Time of each part over that of the whole net.
        threshold: Lowest threshold that loses at most `maximum_loss` of accuracy on training images that the heads have
            not seen. If None, none does.
        maximum_loss: That limit.
        images: Images that `points` were measured on: "test", or "training" for those that the heads have not seen.
        points: What thresholds do, ascending.
    """

    blocks: tuple[str, ...]
    costs: tuple[float, ...]
    threshold: float | None
    maximum_loss: float
    images: str
    points: tuple[ExitPoint, ...]

    def _columns(self) -> Mapping[str, Column]:
        left = {f"left_{block}": [one.shares[at] for one in self.points] for at, block in enumerate(self.blocks)}
        return {
            "threshold": [one.threshold for one in self.points],
            "accuracy": [one.accuracy for one in self.points],
            "speedup": [one.speedup for one in self.points],
            **left,
        }
