"""What comes back from a server, as arrays and plain values; the one place that reads response messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BRANCH_L2, BRANCH_MEAN, DOT, SHORTCUT_L2

from resprobe._pictures.images import Size
from resprobe._statistics import BlockStatistics


@dataclass(frozen=True)
class Baseline:
    """One statistic of one block over a data set: its mean, and its quantiles by their probability."""

    mean: float
    quantiles: Mapping[float, float] = field(hash=False)


@dataclass(frozen=True)
class Block:
    """One residual block of a served model.

    Attributes:
        name: stage2.block0: stages count from 1, blocks within a stage from 0.
        stage: From 1.
        index: Within the stage, from 0.
        channels: Of the sum F(x) + s(x).
        height: Of the sum.
        width: Of the sum.
        stride: Of the block.
        shortcut: identity, pad or projection.
        response_std: Standard deviation of F(x) as its last batch norm alone tells it; None if it cannot.
        baseline: By statistic (branch_l2, shortcut_l2, ratio, cosine, branch_std); empty if none was measured.
    """

    name: str
    stage: int
    index: int
    channels: int
    height: int
    width: int
    stride: int
    shortcut: str
    response_std: float | None
    baseline: Mapping[str, Baseline] = field(hash=False)

    @property
    def size(self) -> int:
        """Values in its branch for one image."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class Model:
    """A model version that a server serves.

    Attributes:
        name: Of the model.
        version: Of the model.
        family: resnet, plain, preact, or what its source calls it.
        depth: Weighted layers; 0 if unknown.
        parameters: Trainable parameters; 0 if unknown.
        height: Of an image, in pixels; images of another size are resized.
        width: Of an image, in pixels.
        channels: Of an image: 1 (grey) or 3 (RGB).
        classes: Labels.
        accuracy: On the test images of `dataset`; None if it was not measured.
        dataset: What it was measured on; empty if it was not.
        baseline_images: How many images the blocks' baselines were measured on.
        statistics: Names of what the graph returns for each block.
        blocks: From input to output.
        provider: ONNX Runtime execution provider that runs it, for example CPUExecutionProvider.
        is_default: Whether it answers where no version is named.
        has_blocks: Whether block statistics can be asked for.
        has_block_scale: Whether blocks can be scaled.
        max_batch: Maximum images in a batch.
    """

    name: str
    version: str
    family: str
    depth: int
    parameters: int
    height: int
    width: int
    channels: int
    classes: tuple[str, ...]
    accuracy: float | None
    dataset: str
    baseline_images: int
    statistics: tuple[str, ...]
    blocks: tuple[Block, ...]
    provider: str
    is_default: bool
    has_blocks: bool
    has_block_scale: bool
    max_batch: int

    def __repr__(self) -> str:
        """Returns one line: all blocks with their baselines, and a thousand classes, are no use in a notebook."""
        size = f"{self.height}×{self.width}×{self.channels}"
        return (
            f"Model({self.name!r}, version={self.version!r}, image={size}, classes={len(self.classes)}, "
            f"blocks={len(self.blocks)}, provider={self.provider!r})"
        )


@dataclass(frozen=True)
class Timings:
    """Seconds that a request spent waiting for its first batch, and from there to the end of its last."""

    queue: float
    inference: float


@dataclass(frozen=True, eq=False)
class Result:
    """What a server says of n images.

    Attributes:
        labels: Best class of each image.
        classes: int64 [n, k], best first; k is `top_k`, or the number of classes where that is smaller.
        probabilities: float32 [n, k].
        blocks: Statistics of every block; None unless they were asked for.
        resized_from: For each image the height and width in pixels that it had before the server resized it to the
            model's size; for a picture file that is the size that one sees, after its EXIF orientation was applied.
            None for an image that was not resized.
        model: That answered.
        version: That answered.
        provider: That ran it.
        timings: Of the request.
        batch_size: Images in the largest batch that a part of the request was run in.
    """

    labels: list[str]
    classes: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    blocks: BlockStatistics | None
    resized_from: list[Size | None]
    model: str
    version: str
    provider: str
    timings: Timings
    batch_size: int

    def __len__(self) -> int:
        return len(self.labels)


def join(results: Sequence[Result]) -> Result:
    """Returns the answers to several requests to one model version as one; there is at least one.

    Its timings are the sums of theirs, and its largest batch is that of all.
    """
    first = results[0]
    return replace(
        first,
        labels=[label for result in results for label in result.labels],
        classes=np.concatenate([result.classes for result in results]),
        probabilities=np.concatenate([result.probabilities for result in results]),
        blocks=first.blocks and BlockStatistics.concatenate([one.blocks for one in results if one.blocks is not None]),
        resized_from=[size for result in results for size in result.resized_from],
        timings=Timings(sum(one.timings.queue for one in results), sum(one.timings.inference for one in results)),
        batch_size=max(result.batch_size for result in results),
    )


def read_model(message: pb.Model) -> Model:
    """A model's description as the server sends it."""
    measured = message.HasField("evaluation")
    probabilities = tuple(message.baseline.probabilities)
    return Model(
        name=message.name,
        version=message.version,
        family=message.family,
        depth=message.depth,
        parameters=message.parameter_count,
        height=message.image.height,
        width=message.image.width,
        channels=message.image.channels,
        classes=tuple(message.classes),
        accuracy=message.evaluation.accuracy if measured else None,
        dataset=message.evaluation.dataset,
        baseline_images=message.baseline.image_count,
        statistics=tuple(message.statistics),
        blocks=tuple(_read_block(block, probabilities) for block in message.blocks),
        provider=message.serving.provider,
        is_default=message.serving.is_default,
        has_blocks=message.serving.has_blocks,
        has_block_scale=message.serving.has_block_scale,
        max_batch=message.serving.max_batch,
    )


def _read_block(message: pb.Block, probabilities: Sequence[float]) -> Block:
    baseline = {
        name: Baseline(value.mean, dict(zip(probabilities, value.quantiles, strict=True)))
        for name, value in message.baseline.items()
    }
    return Block(
        name=message.name,
        stage=message.stage,
        index=message.index,
        channels=message.channels,
        height=message.height,
        width=message.width,
        stride=message.stride,
        shortcut=pb.ShortcutKind.Name(message.shortcut).removeprefix("SHORTCUT_KIND_").lower(),
        response_std=message.response_std if message.HasField("response_std") else None,
        baseline=baseline,
    )


def read_result(response: pb.ClassifyResponse, model: Model | None) -> Result:
    """A response to a request for classes or, with `model` the version that answered, for block statistics too."""
    results = response.results
    return Result(
        labels=[result.classes[0].label for result in results],
        classes=np.array([[one.index for one in result.classes] for result in results], np.int64),
        probabilities=np.array([[one.probability for one in result.classes] for result in results], np.float32),
        blocks=None if model is None else _read_blocks(results, model),
        resized_from=[_read_size(result) for result in results],
        model=response.model,
        version=response.version,
        provider=response.provider,
        timings=Timings(response.timings.queue.ToNanoseconds() / 1e9, response.timings.inference.ToNanoseconds() / 1e9),
        batch_size=response.batch_size,
    )


def _read_size(result: pb.ImageResult) -> Size | None:
    return (result.resized_from.height, result.resized_from.width) if result.HasField("resized_from") else None


def _read_blocks(results: Sequence[pb.ImageResult], model: Model) -> BlockStatistics:
    raw = {
        name: np.array([result.statistics[place].values for result in results], np.float32)
        for place, name in enumerate(model.statistics)
    }
    return BlockStatistics.derive(
        [block.name for block in model.blocks],
        [block.size for block in model.blocks],
        raw[BRANCH_L2],
        raw[SHORTCUT_L2],
        raw[DOT],
        raw[BRANCH_MEAN],
    )
