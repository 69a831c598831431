"""Classes of images as a server returned them: a result holds many images, a prediction one of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, overload

import numpy as np
import numpy.typing as npt

from resprobe._pictures.images import Size
from resprobe._results import html
from resprobe._results.inspection import Channels, Inspection, Maps, Readouts
from resprobe._results.statistics import BlockStatistics
from resprobe._results.tabular import Column, Tabular

SHOWN = 3  # labels that a repr names
AnyResult = TypeVar("AnyResult", bound="Result")


@dataclass(frozen=True)
class Timings:
    """Seconds that a request waited for its first batch (`queue`), and from there to the end of its last."""

    queue: float
    inference: float


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Classes of one image, best first.

    Attributes:
        labels: Labels of the k best classes.
        classes: Their indices among the model's classes, int64 [k].
        probabilities: Their probabilities, float32 [k].
        blocks: Statistics of every block for this image, [1, L]. If None, they were not requested.
        resized_from: Height and width in pixels before the image was resized. If None, it was not resized.
        inspection: What else was requested of the inside of the net for this image, n being 1. If None, nothing was.
    """

    labels: tuple[str, ...]
    classes: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    blocks: BlockStatistics | None
    resized_from: Size | None
    inspection: Inspection | None = None

    @property
    def label(self) -> str:
        """Label of the best class."""
        return self.labels[0]

    @property
    def probability(self) -> float:
        """Probability of the best class."""
        return float(self.probabilities[0])

    def __repr__(self) -> str:
        """Returns the best classes with their probabilities."""
        pairs = zip(self.labels[:SHOWN], self.probabilities, strict=False)
        more = ["…"] if len(self.labels) > SHOWN else []
        return f"{type(self).__name__}({', '.join([f'{label!r} {value:.3f}' for label, value in pairs] + more)})"

    def _repr_html_(self) -> str:
        columns: dict[str, Column] = {"label": self.labels, "probability": self.probabilities}
        blocks = "" if self.blocks is None else self.blocks._repr_html_()
        return html.table(columns, bars="probability") + blocks


@dataclass(frozen=True, eq=False, repr=False)
class ProbedPrediction(Prediction):
    """Prediction with block statistics."""

    blocks: BlockStatistics


@dataclass(frozen=True, eq=False, repr=False)
class Result(Tabular):
    """Classes of n images.

    `len(result)` is n, `result[i]` is the Prediction of image i, `result[a:b]` a Result of some images, and iteration
    yields a Prediction for each image. As a table it has one row for each image and class.

    Attributes:
        labels: Best class of each image.
        classes: int64 [n, k], best first; k is `top_k`, or the number of classes where that is smaller.
        probabilities: float32 [n, k].
        class_labels: Label of each index that occurs in `classes`.
        blocks: Statistics of every block. If None, they were not requested.
        resized_from: For each image the height and width in pixels that it had before it was resized, or resized and
            cut, to the model's size; for a picture file, after its EXIF orientation was applied. None for an image that
            was not resized.
        model: Name of the model that answered.
        version: Version that answered.
        provider: ONNX Runtime execution provider that ran it.
        precision: What the convolutions computed with: float32, float16 or int8; empty if unknown.
        timings: Timings of the request.
        batch_size: Images in the largest batch that a part of the request was run in.
        inspection: What else was requested of the inside of the net. If None, nothing was.
        digest: Digest of the description of the version that answered, as in Model; empty if unknown.
        exits: Place among the model's blocks, from 0, of the one after which each image left the net, int64 [n]. If
            None, no early exit was requested.
    """

    labels: list[str]
    classes: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    class_labels: Mapping[int, str]
    blocks: BlockStatistics | None
    resized_from: list[Size | None]
    model: str
    version: str
    provider: str
    precision: str
    timings: Timings
    batch_size: int
    inspection: Inspection | None = None
    digest: str = ""
    exits: npt.NDArray[np.int64] | None = None

    @property
    def maps(self) -> Maps | None:
        """Norms of F(x) and s(x) at every position of every block. If None, they were not requested."""
        return None if self.inspection is None else self.inspection.maps

    @property
    def channels(self) -> Channels | None:
        """Norms of F(x) and s(x) in every channel of every block. If None, they were not requested."""
        return None if self.inspection is None else self.inspection.channels

    @property
    def readouts(self) -> Readouts | None:
        """Scores as if the net ended after a block. If None, they were not requested."""
        return None if self.inspection is None else self.inspection.readouts

    @property
    def cam(self) -> npt.NDArray[np.float32] | None:
        """Class activation maps of `classes`, float32 [n, k, height, width]. If None, they were not requested."""
        return None if self.inspection is None else self.inspection.cam

    @property
    def prediction_depth(self) -> npt.NDArray[np.int64] | None:
        """Prediction depth of each image, [n]; see Readouts. If None, readouts were not requested."""
        return None if self.readouts is None else self.readouts.prediction_depth

    @property
    def influence(self) -> npt.NDArray[np.float64] | None:
        """1 − cos(s, s + F) of every block, [n, L]. If None, block statistics were not requested."""
        return None if self.blocks is None else self.blocks.influence

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, place: int) -> Prediction: ...
    @overload
    def __getitem__(self: AnyResult, place: slice) -> AnyResult: ...
    def __getitem__(self, place: int | slice) -> "Prediction | Result":
        """Returns the prediction of one image, or a result of some images."""
        if not isinstance(place, slice):
            return self._prediction(range(len(self))[place])
        rows = np.arange(len(self))[place]
        return replace(
            self,
            labels=self.labels[place],
            classes=self.classes[rows],
            probabilities=self.probabilities[rows],
            blocks=None if self.blocks is None else self.blocks.take(rows),
            resized_from=[self.resized_from[row] for row in rows],
            inspection=None if self.inspection is None else self.inspection.take(rows),
            exits=None if self.exits is None else self.exits[rows],
        )

    def __iter__(self) -> Iterator[Prediction]:
        return map(self._prediction, range(len(self)))

    def __repr__(self) -> str:
        """Returns one line, with the labels of the first images."""
        labels = ", ".join([*map(repr, self.labels[:SHOWN]), *(["…"] if len(self) > SHOWN else [])])
        blocks = "" if self.blocks is None else f", blocks={len(self.blocks.names)}"
        return (
            f"{type(self).__name__}(images={len(self)}, labels=[{labels}], model={self.model!r}, "
            f"version={self.version!r}{blocks})"
        )

    def _prediction(self, row: int) -> Prediction:
        labels = tuple(self.class_labels[index] for index in self.classes[row].tolist())
        classes, probabilities, size = self.classes[row], self.probabilities[row], self.resized_from[row]
        inspection = None if self.inspection is None else self.inspection.take(np.array([row]))
        if self.blocks is None:
            return Prediction(labels, classes, probabilities, None, size, inspection)
        return ProbedPrediction(labels, classes, probabilities, self.blocks.take(np.array([row])), size, inspection)

    def _columns(self) -> Mapping[str, Column]:
        n, k = self.classes.shape
        indices = self.classes.ravel()
        return {
            "image": np.repeat(np.arange(n), k),
            "rank": np.tile(np.arange(1, k + 1), n),
            "class": indices,
            "label": [self.class_labels[index] for index in indices.tolist()],
            "probability": self.probabilities.ravel(),
        }

    def _repr_html_(self) -> str:
        best: dict[str, Column] = {
            "image": np.arange(len(self)),
            "label": self.labels,
            "probability": self.probabilities[:, 0],
        }
        blocks = "" if self.blocks is None else self.blocks._repr_html_()
        return html.table(best, repr(self), bars="probability") + blocks


@dataclass(frozen=True, eq=False, repr=False)
class ProbedResult(Result):
    """Result with block statistics: what `blocks=True` returns."""

    blocks: BlockStatistics

    @overload
    def __getitem__(self, place: int) -> ProbedPrediction: ...
    @overload
    def __getitem__(self: AnyResult, place: slice) -> AnyResult: ...
    def __getitem__(self, place: int | slice) -> "Prediction | Result":
        """Returns the prediction of one image, or a result of some images."""
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[ProbedPrediction]:
        return map(self.__getitem__, range(len(self)))


def join(results: Sequence[AnyResult]) -> AnyResult:
    """Joins the responses to several requests to one model version; there is at least one.

    The timings are their sums, and the largest batch is that of all.
    """
    first = results[0]
    blocks = [one.blocks for one in results if one.blocks is not None]
    inspections = [one.inspection for one in results if one.inspection is not None]
    exits = [one.exits for one in results if one.exits is not None]
    return replace(
        first,
        labels=[label for result in results for label in result.labels],
        classes=np.concatenate([result.classes for result in results]),
        probabilities=np.concatenate([result.probabilities for result in results]),
        class_labels={index: label for result in results for index, label in result.class_labels.items()},
        blocks=BlockStatistics.concatenate(blocks) if blocks else None,
        resized_from=[size for result in results for size in result.resized_from],
        inspection=Inspection.concatenate(inspections) if inspections else None,
        exits=np.concatenate(exits) if exits else None,
        timings=Timings(sum(one.timings.queue for one in results), sum(one.timings.inference for one in results)),
        batch_size=max(result.batch_size for result in results),
    )
