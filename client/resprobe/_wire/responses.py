"""Reads response messages: the one place that turns them into arrays and plain values."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BRANCH_L2, BRANCH_MEAN, DOT, SHORTCUT_L2

from resprobe._pictures.images import Size
from resprobe._pictures.resize_and_crop import ResizeAndCrop
from resprobe._results.exits import EarlyExits, ExitPoint
from resprobe._results.model import Baseline, Block, Model, Noise, Quantization, Readout
from resprobe._results.result import ProbedResult, Result, Timings
from resprobe._results.statistics import BlockStatistics
from resprobe._wire.inspection import read_inspection
from resprobe._wire.requests import VIEWS


def read_model(message: pb.Model) -> Model:
    """Reads the description of a model version."""
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
        precision=message.precision,
        quantization=_read_quantization(message.quantization) if message.HasField("quantization") else None,
        preprocessing=_read_preprocessing(message.image),
        mean=tuple(message.image.mean),
        std=tuple(message.image.std),
        views=_read_views(message.serving),
        digest=message.serving.digest,
        exits=_read_early_exits(message.exits) if message.HasField("exits") else None,
    )


def _read_early_exits(message: pb.EarlyExits) -> EarlyExits:
    points = message.measured or message.calibration
    return EarlyExits(
        blocks=tuple(part.block for part in message.parts),
        costs=tuple(part.cost for part in message.parts),
        threshold=message.threshold if message.HasField("threshold") else None,
        maximum_loss=message.maximum_loss,
        images="test" if message.measured else "training",
        points=tuple(ExitPoint(one.threshold, one.accuracy, tuple(one.shares), one.speedup) for one in points),
    )


def _read_preprocessing(image: pb.ImageFormat) -> ResizeAndCrop | None:
    """Reads how pictures become images of a model. If None, they are resized as a whole."""
    found = image.preprocessing
    return ResizeAndCrop(found.resize, found.interpolation) if image.HasField("preprocessing") else None


def _read_views(serving: pb.Serving) -> tuple[str, ...]:
    """Reads the names of the views that are answered. Servers of version 0.1 name none, and may answer blocks."""
    if not serving.views:
        return ("blocks",) if serving.has_blocks else ()
    return tuple(name for name, view in VIEWS.items() if view in serving.views)


def _read_quantization(message: pb.Quantization) -> Quantization:
    measured = message.HasField("after")
    return Quantization(
        source_name=message.source_name,
        source_version=message.source_version,
        float_blocks=tuple(message.float_blocks),
        accuracy_before=message.before.accuracy if measured else None,
        accuracy_after=message.after.accuracy if measured else None,
        agreement=message.agreement if measured else None,
        dataset=message.after.dataset,
    )


def _read_block(message: pb.Block, probabilities: Sequence[float]) -> Block:
    baseline = {
        name: Baseline(value.mean, dict(zip(probabilities, value.quantiles, strict=True)))
        for name, value in message.baseline.items()
    }
    noise = {
        name: Noise(one.branch, one.sum, one.ratio_before, one.ratio_after)
        for name, one in sorted(message.noise.items())
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
        branch=pb.BranchKind.Name(message.branch).removeprefix("BRANCH_KIND_").lower() if message.branch else "conv",
        axes=tuple(pb.AxisKind.Name(axis).removeprefix("AXIS_KIND_").lower() for axis in message.axes),
        noise=noise,
        readout=_read_readout(message.readout) if message.HasField("readout") else None,
    )


def _read_readout(message: pb.Readout) -> Readout:
    measured = message.HasField("evaluation")
    return Readout(
        head=pb.ReadoutHead.Name(message.head).removeprefix("READOUT_HEAD_").lower(),
        accuracy=message.evaluation.accuracy if measured else None,
        dataset=message.evaluation.dataset,
    )


def read_result(response: pb.ClassifyResponse, model: Model | None, parts: Collection[str]) -> Result:
    """Reads the response to a request for classes.

    Args:
        response: As the server sent it.
        model: Description of the version that answered. If None, no view was asked for.
        parts: Names of the views that were asked for.
    """
    results = response.results
    classes = np.array([[one.index for one in result.classes] for result in results], np.int64)
    timings = response.timings
    blocks = _read_blocks(results, model) if model is not None and "blocks" in parts else None
    kind = Result if blocks is None else ProbedResult
    return kind(
        labels=[result.classes[0].label for result in results],
        classes=classes,
        probabilities=np.array([[one.probability for one in result.classes] for result in results], np.float32),
        class_labels=_read_labels(results, classes),
        blocks=blocks,  # type: ignore[arg-type]  # of the right kind, as above
        resized_from=[_read_size(result) for result in results],
        model=response.model,
        version=response.version,
        provider=response.provider,
        precision=response.precision,
        timings=Timings(timings.queue.ToNanoseconds() / 1e9, timings.inference.ToNanoseconds() / 1e9),
        batch_size=response.batch_size,
        digest=response.digest,
        inspection=None if model is None else read_inspection(results, model, parts),
        exits=_read_exits(results),
    )


def _read_exits(results: Sequence[pb.ImageResult]) -> npt.NDArray[np.int64] | None:
    """Reads after which block each image left the net. If None, none could leave early."""
    if not results or not results[0].HasField("exit_block"):
        return None
    return np.array([result.exit_block for result in results], np.int64)


def _read_labels(results: Sequence[pb.ImageResult], classes: npt.NDArray[np.int64]) -> dict[int, str]:
    """Reads the label of each class once, however many images it was found in."""
    indices, firsts = np.unique(classes, return_index=True)
    places = zip(indices.tolist(), firsts.tolist(), strict=True)
    return {index: results[at // classes.shape[1]].classes[at % classes.shape[1]].label for index, at in places}


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
