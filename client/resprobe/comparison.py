"""Two models, or two versions of one, on the same images: their classes, and their ratio by relative depth.

Nets of different depth are compared where they are equally deep: block k of L is at (k + 1/2) / L of the way, so that
stages of equal length fall on each other. The deeper net's ratio is interpolated linearly at the blocks of the
shallower one. Intervals are percentile bootstrap (Efron 1979) over images, paired: both nets see each resampled image.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe.classes import Match, match
from resprobe.errors import InvalidRequest
from resprobe.frame import Frame

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
        depth: float64 [P], relative, in (0, 1).
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
        if self.images < len(a):
            left = len(a) - self.images
            found.append(f"{left:,} images have a shortcut of zero in some block; the ratios are without them.")
        found += [f"Note: {note}." for note in self.notes]
        return found

    def table(self) -> Any:
        """As a pyarrow.Table, one row for each depth."""
        from resprobe import parquet

        return parquet.columns(
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
    depth = positions(len(short.blocks.names))
    profile_a, profile_b = (_at(frame, depth) for frame in (a, b))
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
        depth=depth,
        names=short.blocks.names,
        ratio_a=profile_a.mean(axis=0),
        ratio_b=profile_b.mean(axis=0),
        ratio=_bootstrap(profile_b - profile_a, confidence, resamples, generator),
        images=len(profile_a),
        notes=tuple(dict.fromkeys([*a.notes, *b.notes, *([names.note] if names.note else [])])),
    )


def positions(count: int) -> Floats:
    """Relative depth of each of `count` blocks: (k + 1/2) / count."""
    return (np.arange(count) + 0.5) / count


def _at(frame: Frame, depth: Floats) -> Floats:
    """The ratio of every image at relative depths, by linear interpolation: [n, P]."""
    values = frame.blocks.ratio.astype(np.float64)
    count = values.shape[1]
    if count == len(depth):
        return values
    place = depth * count - 0.5
    left = np.clip(place.astype(np.int64), 0, count - 2)
    share = place - left
    interpolated: Floats = values[:, left] * (1 - share) + values[:, left + 1] * share
    return interpolated


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
