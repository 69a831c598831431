"""Two models, or two versions of one, on the same images: their classes, and their ratio by relative depth.

Nets with equally many stages are compared stage by stage, and within a stage by relative depth: the first block with
the first, the last with the last; a stage's only block stands for its first, since both change size and channels. Where
the numbers of stages differ, relative depth is over the whole net: block k of L is at (k + 1/2) / L. The deeper net's
ratio is interpolated linearly at the blocks of the shallower one. Intervals are percentile bootstrap (Efron 1979) over
images, paired: both nets see each resampled image.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe._classes import Match, match
from resprobe._results.model import Model
from resprobe.analysis.dataset_result import Frame
from resprobe.errors import InvalidRequest

RESAMPLES = 1000
CONFIDENCE = 0.95
CHUNK = 100  # resamples at a time, so that memory stays small
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Difference:
    """B minus A with its bootstrap interval: float64 arrays of one shape."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models on the same n images.

    Attributes:
        a: What the first did.
        b: What the second did.
        confidence: Of each interval. Over depth they are pointwise: 5 % of them miss by chance.
        agreement: Share of images that both put into the same class.
        accuracy: Difference of accuracies, B − A; None without labels. Its arrays have no axes.
        depth: float64 [P], relative, in (0, 1); see `positions`.
        by_stage: Whether stage is compared with stage.
        names: Of the blocks of the shallower net, which are at these depths.
        ratio_a: float64 [P], mean over images.
        ratio_b: float64 [P].
        ratio: Difference of mean ratios, B − A, [P].
        images: That the ratios are over: the others have a shortcut of zero in some block.
        notes: Sentences on what was assumed.
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

    @cached_property
    def outcomes(self) -> dict[str, int]:
        """Images by who is right: `both`, `only_a`, `only_b`, `neither`; empty without labels."""
        a, b = self.a.correct, self.b.correct
        if a is None or b is None:
            return {}
        counts = {"both": a & b, "only_a": a & ~b, "only_b": ~a & b, "neither": ~a & ~b}
        return {name: int(count.sum()) for name, count in counts.items()}

    def rows(self) -> list[tuple[str, float, float, float, float, float, float]]:
        """Returns for each place its block, depth, ratio of A and of B, their difference, and its interval's ends."""
        ratio = self.ratio
        columns = (self.depth, self.ratio_a, self.ratio_b, ratio.value, ratio.low, ratio.high)
        return list(zip(self.names, *(column.tolist() for column in columns), strict=True))

    def sentences(self) -> list[str]:
        """What was found, for a person."""
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
                f"{a.model.name} has {stages(a.model)} stages and {b.model.name} {stages(b.model)}: blocks are "
                "compared by depth in the whole net, whatever their stage."
            )
        if self.images < len(a):
            left = len(a) - self.images
            found.append(f"{left:,} images have a shortcut of zero in some block; the ratios are without them.")
        found += [f"Note: {note}." for note in self.notes]
        return found

    def table(self) -> Any:
        """As a pyarrow.Table, one row for each depth."""
        from resprobe.analysis import arrow

        return arrow.columns(
            block=self.names,
            depth=self.depth,
            ratio_a=self.ratio_a,
            ratio_b=self.ratio_b,
            difference=self.ratio.value,
            low=self.ratio.low,
            high=self.ratio.high,
        )


def compare(
    a: Frame, b: Frame, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compares what two models did; see the top of this module.

    Args:
        a: Of the first model.
        b: Of the second, on the same images in the same order.
        confidence: Of each interval.
        resamples: Bootstrap samples.
        seed: Of the bootstrap.

    Raises:
        InvalidRequest: The images or the classes are not the same, or one of the nets has no blocks.
    """
    names = _check(a, b)
    short = min((a, b), key=lambda frame: len(frame.blocks.names))
    by_stage = stages(a.model) == stages(b.model)
    profile_a, profile_b = (_at(frame, short.model, by_stage) for frame in (a, b))
    whole = np.isfinite(profile_a).all(axis=1) & np.isfinite(profile_b).all(axis=1)
    profile_a, profile_b = profile_a[whole], profile_b[whole]
    if not len(profile_a):
        raise InvalidRequest("no image has a finite ratio in every block of both models")
    generator = np.random.default_rng(seed)
    right_a, right_b = a.correct, b.correct
    accuracy = None
    if right_a is not None and right_b is not None:
        gained = right_b.astype(np.float64) - right_a
        accuracy = _bootstrap(gained[:, None], confidence, resamples, generator)
        accuracy = Difference(accuracy.value[0], accuracy.low[0], accuracy.high[0])
    return Comparison(
        a=a,
        b=b,
        confidence=confidence,
        agreement=float((a.predicted == names.indices[b.predicted]).mean()),
        accuracy=accuracy,
        depth=positions(short.model, by_stage),
        by_stage=by_stage,
        names=short.blocks.names,
        ratio_a=profile_a.mean(axis=0),
        ratio_b=profile_b.mean(axis=0),
        ratio=_bootstrap(profile_b - profile_a, confidence, resamples, generator),
        images=len(profile_a),
        notes=tuple(dict.fromkeys([*a.notes, *b.notes, *([names.note] if names.note else [])])),
    )


def stages(model: Model) -> int:
    """How many stages a model has."""
    return len({block.stage for block in model.blocks})


def positions(model: Model, by_stage: bool) -> Floats:
    """Relative depth of each block, float64 [L], in (0, 1).

    Args:
        model: Whose blocks they are.
        by_stage: Whether each stage has an equal part, with its first block at 0.1 and its last at 0.9 of it, so that
            first and last blocks of all nets fall on each other. If not, block k is at (k + 1/2) / L.
    """
    count = len(model.blocks)
    if not by_stage:
        return (np.arange(count) + 0.5) / count
    names = np.array([block.stage for block in model.blocks])
    order = list(dict.fromkeys(names.tolist()))
    found = np.empty(count)
    for place, stage in enumerate(order):
        members = np.flatnonzero(names == stage)
        within = np.arange(len(members)) / max(1, len(members) - 1)
        found[members] = (place + 0.1 + 0.8 * within) / len(order)
    return found


def _at(frame: Frame, short: Model, by_stage: bool) -> Floats:
    """The ratio of every image at the depths of a shallower model's blocks, by linear interpolation: [n, P]."""
    values = frame.blocks.ratio.astype(np.float64)
    parts = _parts(frame.model, by_stage)
    depth, own = positions(short, by_stage), positions(frame.model, by_stage)
    found = np.empty((len(values), len(depth)))
    for wanted, known in zip(_parts(short, by_stage), parts, strict=True):
        right = np.clip(np.searchsorted(own[known], depth[wanted] - 1e-9), 0, len(known) - 1)
        left = np.maximum(right - 1, 0)
        span = np.where(right > left, own[known][right] - own[known][left], 1)
        share = np.clip(np.where(right > left, (depth[wanted] - own[known][left]) / span, 0), 0, 1)
        share = np.where(np.abs(share - share.round()) < 1e-9, share.round(), share)
        low, high = values[:, known[left]], values[:, known[right]]
        # A value that has no share is left out, so that one that is not finite spoils nothing.
        found[:, wanted] = np.where(share == 0, low, np.where(share == 1, high, low * (1 - share) + high * share))
    return found


def _parts(model: Model, by_stage: bool) -> list[npt.NDArray[np.intp]]:
    """Places of the blocks that are interpolated between: of each stage, or all."""
    names = np.array([block.stage for block in model.blocks])
    if not by_stage:
        return [np.arange(len(names))]
    return [np.flatnonzero(names == stage) for stage in dict.fromkeys(names.tolist())]


def _bootstrap(values: Floats, confidence: float, resamples: int, generator: np.random.Generator) -> Difference:
    """Mean over the n rows of [n, P], and its percentile interval."""
    n = len(values)
    means = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, CHUNK):
        counts = generator.multinomial(n, np.full(n, 1 / n), min(CHUNK, resamples - start))
        means[start : start + len(counts)] = counts @ values / n
    tail = (1 - confidence) / 2
    return Difference(values.mean(axis=0), *np.quantile(means, (tail, 1 - tail), axis=0))


def _check(a: Frame, b: Frame) -> Match:
    """Returns the classes of B among those of A. Raises InvalidRequest, see `compare`."""
    for frame in (a, b):
        if not frame.blocks.names:
            raise InvalidRequest(f"model {frame.model.name} has no residual blocks to compare")
    if len(a.model.classes) != len(b.model.classes):
        counts = f"{len(a.model.classes)} and {len(b.model.classes)}"
        raise InvalidRequest(f"{a.model.name} and {b.model.name} have {counts} classes; expected the same classes")
    names = match(b.model.classes, a.model.classes, f"model {b.model.name}", f"model {a.model.name}")
    same = a.dataset == b.dataset and np.array_equal(a.index, b.index) and a.files == b.files
    if a.labels is not None and b.labels is not None:
        same = same and np.array_equal(a.labels, names.indices[b.labels])
    if not same or (a.labels is None) != (b.labels is None):
        raise InvalidRequest(
            f"{a.model.name} and {b.model.name} were not asked about the same images in the same order"
        )
    return names
