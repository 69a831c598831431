"""Two models, or two versions of one, on the same images: their classes, and their ratio by relative depth.

Nets with equally many stages are compared stage by stage, and within a stage by relative depth: the first block with
the first, the last with the last; a stage's only block is compared with the first, since both change size and channels.
Where the numbers of stages differ, relative depth is over the whole net: block k of L is at (k + 1/2) / L. The deeper
net's ratio is interpolated linearly at the blocks of the shallower one. Intervals are percentile bootstrap over images,
paired: both nets see each resampled image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from resprobe._classes import Match, match
from resprobe._results.model import Model
from resprobe._results.tabular import Column, Tabular
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.depth import positions, ratio_at, stages
from resprobe.analysis.intervals import CONFIDENCE, RESAMPLES, Difference, bootstrap_mean
from resprobe.analysis.noise import NoiseOfBlocks, noise_between
from resprobe.errors import InvalidRequest

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Tabular):
    """Two models on the same n images. As a table it has one row for each of P depths.

    Attributes:
        a: Result of the first model.
        b: Result of the second model.
        confidence: Confidence of each interval. Over depth they are pointwise: 5 % of them miss by chance.
        agreement: Share of images that both put into the same class.
        accuracy: Difference of accuracies, B − A. Its arrays have no axes. If None, the images have no labels.
        depth: Relative depths in (0, 1), float64 [P]; depth.positions says how they are counted.
        by_stage: Whether stage is compared with stage.
        names: Names of the blocks of the shallower net, which are at these depths.
        ratio_a: Mean ratio of the first model over images, float64 [P].
        ratio_b: Mean ratio of the second model over images, float64 [P].
        ratio: Difference of mean ratios, B − A, [P].
        images: Number of images that the ratios are over: the others have a shortcut of zero in some block.
        notes: Sentences on what was assumed.
        noise: Noise of quantisation by block. If None, neither model was quantised from the other.
    """

    a: Frame
    b: Frame
    confidence: float
    agreement: float
    accuracy: Difference | None
    depth: Floats
    by_stage: bool
    names: list[str]
    ratio_a: Floats
    ratio_b: Floats
    ratio: Difference
    images: int
    notes: tuple[str, ...] = ()
    noise: NoiseOfBlocks | None = None

    @cached_property
    def outcomes(self) -> dict[str, int]:
        """Images by which model is right: `both`, `only_a`, `only_b`, `neither`; empty without labels."""
        a, b = self.a.correct, self.b.correct
        if a is None or b is None:
            return {}
        counts = {"both": a & b, "only_a": a & ~b, "only_b": ~a & b, "neither": ~a & ~b}
        return {name: int(count.sum()) for name, count in counts.items()}

    def __repr__(self) -> str:
        """Returns one line: the models, the images and how often both agree."""
        a, b = (f"{one.model.name}/{one.model.version}" for one in (self.a, self.b))
        return (
            f"Comparison({a!r}, {b!r}, images={len(self.a)}, agreement={self.agreement:.4f}, blocks={len(self.names)})"
        )

    def _columns(self) -> Mapping[str, Column]:
        return {
            "block": self.names,
            "depth": self.depth,
            "ratio_a": self.ratio_a,
            "ratio_b": self.ratio_b,
            "difference": self.ratio.value,
            "low": self.ratio.low,
            "high": self.ratio.high,
        }

    def rows(self) -> list[tuple[str, float, float, float, float, float, float]]:
        """Returns for each depth its block, depth, ratio of A and of B, their difference, and its interval's ends."""
        ratio = self.ratio
        columns = (self.depth, self.ratio_a, self.ratio_b, ratio.value, ratio.low, ratio.high)
        return list(zip(self.names, *(column.tolist() for column in columns), strict=True))

    def sentences(self) -> list[str]:
        """Returns the findings as sentences."""
        a, b = self.a, self.b
        names = " and ".join(f"{one.model.name} version {one.model.version}" for one in (a, b))
        found = [f"{names} agree on {self.agreement:.2%} of {len(a):,} images of {a.dataset}."]
        if self.accuracy is not None:
            one = self.accuracy
            found.append(
                f"Accuracy {a.accuracy:.4f} and {b.accuracy:.4f}: B − A = {one.value:+.4f}, {self.confidence:.0%} "
                f"interval {one.low:+.4f} to {one.high:+.4f}; only A is right on {self.outcomes['only_a']:,} images, "
                f"only B on {self.outcomes['only_b']:,}."
            )
        if not self.by_stage:
            found.append(
                f"{a.model.name} has {_stages(a.model)} and {b.model.name} {_stages(b.model)}: blocks are "
                "compared by depth in the whole net, whatever their stage."
            )
        if self.images < len(a):
            left = len(a) - self.images
            found.append(f"{left:,} images have a shortcut of zero in some block; the ratios are without them.")
        if self.noise is not None:
            found.append(self.noise.sentence())
        found += [f"Note: {note}." for note in self.notes]
        return found


def _stages(model: Model) -> str:
    number = stages(model)
    return "1 stage" if number == 1 else f"{number} stages"


def compare(
    a: Frame, b: Frame, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compares the results of two models on the same images.

    Args:
        a: Result of the first model.
        b: Result of the second model, on the same images in the same order.
        confidence: Confidence of each interval.
        resamples: Number of bootstrap samples.
        seed: Seed of the bootstrap.

    Raises:
        InvalidRequest: The images or the classes are not the same, or one of the nets has no blocks.
    """
    classes = _check(a, b)
    generator = np.random.default_rng(seed)
    accuracy = _accuracy(a, b, confidence, resamples, generator)
    short = min((a, b), key=lambda frame: len(frame.blocks.names))
    by_stage = stages(a.model) == stages(b.model)
    ratio_a, ratio_b = _finite_ratios(*(ratio_at(frame, short.model, by_stage) for frame in (a, b)))
    return Comparison(
        a=a,
        b=b,
        confidence=confidence,
        agreement=float((a.predicted == classes.indices[b.predicted]).mean()),
        accuracy=accuracy,
        depth=positions(short.model, by_stage),
        by_stage=by_stage,
        names=short.blocks.names,
        ratio_a=ratio_a.mean(axis=0),
        ratio_b=ratio_b.mean(axis=0),
        ratio=bootstrap_mean(ratio_b - ratio_a, confidence, resamples, generator),
        images=len(ratio_a),
        notes=tuple(dict.fromkeys([*a.notes, *b.notes, *([classes.note] if classes.note else [])])),
        noise=noise_between(a.model, b.model),
    )


def _accuracy(
    a: Frame, b: Frame, confidence: float, resamples: int, generator: np.random.Generator
) -> Difference | None:
    """Returns the difference of accuracies, B − A. If None, the images have no labels."""
    right_a, right_b = a.correct, b.correct
    if right_a is None or right_b is None:
        return None
    gained = right_b.astype(np.float64) - right_a
    found = bootstrap_mean(gained[:, None], confidence, resamples, generator)
    return Difference(found.value[0], found.low[0], found.high[0])


def _finite_ratios(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Keeps the images whose ratios are finite at every depth in both models. Raises InvalidRequest if none is left."""
    whole = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    if not whole.any():
        raise InvalidRequest("no image has a finite ratio in every block of both models")
    return a[whole], b[whole]


def _check(a: Frame, b: Frame) -> Match:
    """Returns the classes of B among those of A. Raises InvalidRequest, see `compare`."""
    for frame in (a, b):
        if not frame.blocks.names:
            raise InvalidRequest(f"model {frame.model.name} has no residual blocks to compare")
    if len(a.model.classes) != len(b.model.classes):
        counts = f"{len(a.model.classes)} and {len(b.model.classes)}"
        raise InvalidRequest(f"{a.model.name} and {b.model.name} have {counts} classes; expected the same classes")
    classes = match(b.model.classes, a.model.classes, f"model {b.model.name}", f"model {a.model.name}")
    same = a.dataset == b.dataset and np.array_equal(a.index, b.index) and a.files == b.files
    if a.labels is not None and b.labels is not None:
        same = same and np.array_equal(a.labels, classes.indices[b.labels])
    if not same or (a.labels is None) != (b.labels is None):
        raise InvalidRequest(
            f"{a.model.name} and {b.model.name} were not asked about the same images in the same order"
        )
    return classes
