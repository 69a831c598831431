"""What a net did inside with each image: norms at every position and in every channel, early answers, activation maps.

Values that follow by arithmetic:

    prediction depth  first block from which all later readouts agree with the final answer (Baldock et al. 2106.09647)
    overthinking      an earlier readout was right, and the final answer is wrong (Kaya et al. 1810.07052)
    influence         1 − cos(s, s + F): how far a block turns what passes through it (Men et al. 2403.03853)
    entropy           of a block's F² over the positions of an image: 0 in one place, 1 everywhere alike
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp] | npt.NDArray[np.bool_]
View = Literal["maps", "channels", "readouts", "cam"]
AnyNorms = TypeVar("AnyNorms", bound="Norms")


@dataclass(frozen=True, eq=False)
class Norms:
    """Norms of branch F(x) and shortcut s(x) of every block for n images.

    Attributes:
        names: Names of the L blocks, from input to output.
        branch: For each block, float32 [n, …].
        shortcut: For each block, float32 [n, …].
    """

    names: list[str]
    branch: list[Array]
    shortcut: list[Array]

    def __len__(self) -> int:
        return len(self.branch[0])

    def take(self: AnyNorms, rows: Rows) -> AnyNorms:
        """Returns the norms of some images only, by their places or by a mask."""
        return type(self)(self.names, [one[rows] for one in self.branch], [one[rows] for one in self.shortcut])

    @classmethod
    def concatenate(cls: type[AnyNorms], parts: Sequence[AnyNorms]) -> AnyNorms:
        """Joins norms of the same blocks for different images; there is at least one part."""
        branch, shortcut = (
            [np.concatenate(blocks) for blocks in zip(*(getattr(part, name) for part in parts), strict=True)]
            for name in ("branch", "shortcut")
        )
        return cls(parts[0].names, branch, shortcut)


@dataclass(frozen=True, eq=False)
class Maps(Norms):
    """Norms over channels at each position: √Σ F² and √Σ s², [n, height, width] for each block.

    Of other tensors than images, height is the number of positions and width is 1.
    """

    def entropy(self) -> npt.NDArray[np.float64]:
        """Returns the entropy of F² over positions, float64 [n, L], relative to that of equal parts.

        1 where there is one position; nan where F is zero.
        """
        return np.stack([_entropy(one.reshape(len(one), -1)) for one in self.branch], axis=1)


@dataclass(frozen=True, eq=False)
class Channels(Norms):
    """Norms over positions in each channel: ‖F_c‖ and ‖s_c‖, [n, channels] for each block."""


@dataclass(frozen=True, eq=False)
class Readouts:
    """Scores of all classes as if the net ended after a block, for n images.

    Attributes:
        names: Names of the R blocks that scores are read off, from input to output; the last is the net's last block.
        places: Places of these blocks among all blocks of the net, int64 [R].
        heads: Head of each: "own", that of the net, or "fitted", a linear one.
        labels: Labels of the classes.
        scores: Scores before the softmax, float32 [n, R, classes]; the last are the net's own.
    """

    names: list[str]
    places: npt.NDArray[np.int64]
    heads: list[str]
    labels: tuple[str, ...]
    scores: Array

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """Best class after each block, int64 [n, R]."""
        classes: npt.NDArray[np.int64] = self.scores.argmax(axis=2)
        return classes

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Softmax of the scores, float64 [n, R, classes]."""
        powers = np.exp(self.scores.astype(np.float64) - self.scores.max(axis=2, keepdims=True))
        probabilities: npt.NDArray[np.float64] = powers / powers.sum(axis=2, keepdims=True)
        return probabilities

    @property
    def prediction_depth(self) -> npt.NDArray[np.int64]:
        """Place among all blocks of the first one from which all readouts agree with the last, int64 [n].

        Blocks without a readout cannot be it. So without fitted heads it is a block of the last stage.
        """
        return prediction_depth(self.classes, self.places)

    def overthinking(self, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Returns for which images an earlier readout was right and the last is wrong, given their classes, [n]."""
        right: npt.NDArray[np.bool_] = self.classes == np.asarray(labels)[:, None]
        return right.any(axis=1) & ~right[:, -1]

    def take(self, rows: Rows) -> "Readouts":
        """Returns the readouts of some images only, by their places or by a mask."""
        return replace(self, scores=self.scores[rows])

    @classmethod
    def concatenate(cls, parts: Sequence["Readouts"]) -> "Readouts":
        """Joins readouts of the same net for different images; there is at least one part."""
        return replace(parts[0], scores=np.concatenate([part.scores for part in parts]))


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was asked for of the inside of a net, for n images. None for what was not.

    Attributes:
        maps: Norms at every position.
        channels: Norms in every channel.
        readouts: Scores as if the net ended after a block.
        cam: Class activation maps of the classes of the result, in their order, float32 [n, k, height, width] of the
            last block: what each position adds to the score of the class.
    """

    maps: Maps | None = None
    channels: Channels | None = None
    readouts: Readouts | None = None
    cam: Array | None = None

    def take(self, rows: Rows) -> "Inspection":
        """Returns what is known of some images only, by their places or by a mask."""
        return Inspection(
            None if self.maps is None else self.maps.take(rows),
            None if self.channels is None else self.channels.take(rows),
            None if self.readouts is None else self.readouts.take(rows),
            None if self.cam is None else self.cam[rows],
        )

    @classmethod
    def concatenate(cls, parts: Sequence["Inspection"]) -> "Inspection":
        """Joins what is known of different images, of which the same was asked; there is at least one part."""
        maps = [one.maps for one in parts if one.maps is not None]
        channels = [one.channels for one in parts if one.channels is not None]
        readouts = [one.readouts for one in parts if one.readouts is not None]
        cams = [one.cam for one in parts if one.cam is not None]
        return cls(
            Maps.concatenate(maps) if maps else None,
            Channels.concatenate(channels) if channels else None,
            Readouts.concatenate(readouts) if readouts else None,
            np.concatenate(cams) if cams else None,
        )


def prediction_depth(classes: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Returns the place of the first block from which all best classes [n, R] agree with the last, [n].

    Args:
        classes: Best class after each of R blocks.
        places: Places of these blocks among all blocks of the net, [R].
    """
    disagree = classes != classes[:, -1:]
    after = classes.shape[1] - np.argmax(disagree[:, ::-1], axis=1)
    return places[np.where(disagree.any(axis=1), after, 0)]


def influence(
    branch_l2: npt.NDArray[np.floating], shortcut_l2: npt.NDArray[np.floating], cosine: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Returns 1 − cos(s, s + F) of blocks: 0 where F is zero, nan where s or s + F is.

    Args:
        branch_l2: ‖F‖.
        shortcut_l2: ‖s‖, in the same shape.
        cosine: Cosine of the angle between F and s; nan where either is zero.
    """
    b, s, c = (np.asarray(one, np.float64) for one in (branch_l2, shortcut_l2, cosine))
    c = np.where(b > 0, c, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.sqrt(s**2 + 2 * b * s * c + b**2)
        turned = (s + b * c) / total
        square = b**2 * (1 - c**2) / total**2  # of the sine; 1 − cos loses all digits where F is small
        found: npt.NDArray[np.float64] = np.where(turned > 0, square / (1 + turned), 1 - turned)
    return np.where(s > 0, found, np.nan)


def _entropy(norms: Array) -> npt.NDArray[np.float64]:
    squares = np.square(norms, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = squares / squares.sum(axis=1, keepdims=True)
        terms = np.where(shares > 0, shares * np.log(shares), 0)
    whole = np.log(norms.shape[1])
    entropy = -terms.sum(axis=1) / whole if whole else np.ones(len(norms))
    return np.where(squares.sum(axis=1) > 0, entropy, np.nan)
