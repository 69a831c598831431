"""Adds early exits to a version that is being written: fits heads, cuts the net, compares, measures and describes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from resprobe._classes import match
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import EXITS, LEAN, LOGITS, NEXT_STATE

from resprobe_exporter import progress
from resprobe_exporter.errors import CheckFailed, ExporterError
from resprobe_exporter.exits import costs, curve
from resprobe_exporter.exits.cut import Cut, cut, find_cuts
from resprobe_exporter.exits.fit import Trunk, answers, fit
from resprobe_exporter.exits.heads import ExitHead
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.verification.reference import FINE

HELD_OUT = 5  # one of so many training images is kept for the thresholds
CHECKED = 8  # images that the parts are compared on
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ExitOptions:
    """How a version gets its early exits.

    Attributes:
        training: Training images.
        blocks: Names of the blocks that parts end with. If empty, the last one in the first half of the stage before
            the last.
        epochs: Passes over the training images.
        maximum_loss: Accuracy that the recommended threshold may lose, on training images.
        seconds: How long to measure the time of the parts.
    """

    training: TrainingImages
    blocks: Sequence[str] = ()
    epochs: int = 12
    maximum_loss: float = 0.003
    seconds: float = costs.SECONDS


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images and their classes, as places among the net's."""

    images: npt.NDArray[np.uint8]
    labels: Labels


def add_exits(model: pb.Model, directory: Path, options: ExitOptions, test: Labelled | None = None) -> None:
    """Writes exit.0.onnx and so on beside the lean graph, and describes them.

    Args:
        model: Description of the version, without exits.
        directory: Directory of its draft.
        options: Training images, blocks and limits.
        test: Test images. If None, nothing is measured on them.

    Raises:
        CheckFailed: The parts do not compute what the net and the heads do.
        ExporterError: The net cannot be cut so.
    """
    places, training = choose_blocks(model, options.blocks), options.training
    labels = match(training.classes, model.classes, "the data set").indices[training.labels]
    held = np.random.default_rng(training.seed).permutation(len(labels)) % HELD_OUT == 0
    lean = ir.load(directory / LEAN)
    cuts, last = find_cuts(lean.graph, places), model.blocks[-1]
    trunk = Trunk.of(lean, directory, cuts, (last.channels, last.height), len(model.classes))
    progress.say(f"fitting {len(cuts)} heads of early exits on {int((~held).sum()):,} images of {training.name}")
    heads = fit(trunk, replace(training, images=training.images[~held]), labels[~held], options.epochs)
    for file, part in zip(EXITS, cut(lean, cuts, heads), strict=False):
        ir.save(part, directory / file)
    _check(directory, trunk, heads, training.images[:CHECKED])
    calibration = Labelled(training.images[held], labels[held])
    _describe(model, directory, options, cuts)
    _measure(model, answers(trunk, heads, calibration.images), calibration.labels, options)
    if test is not None:
        _measure_test(model, answers(trunk, heads, test.images), test.labels)


def choose_blocks(model: pb.Model, names: Sequence[str]) -> list[int]:
    """Returns the places of the blocks that parts end with, but for the last.

    Raises:
        ExporterError: There is no such block, or there are too few or too many.
    """
    blocks = [block.name for block in model.blocks]
    stages = sorted({block.stage for block in model.blocks})
    if len(blocks) < 2 or not model.HasField("image"):
        raise ExporterError("early exits need a residual net of two blocks or more that takes images")
    if not names:
        stage = stages[max(0, len(stages) - 2)]
        own = [place for place, block in enumerate(model.blocks) if block.stage == stage and place < len(blocks) - 1]
        return [own[max(0, len(own) // 2 - 1)]]
    if unknown := [name for name in names if name not in blocks[:-1]]:
        raise ExporterError(f"--exit-blocks: {unknown[0]} is none of {', '.join(blocks[:-1])}")
    places = sorted({blocks.index(name) for name in names})
    if len(places) >= len(EXITS):
        raise ExporterError(f"--exit-blocks has {len(places)} blocks; expected at most {len(EXITS) - 1}")
    return places


def _check(directory: Path, trunk: Trunk, heads: Sequence[ExitHead], images: npt.NDArray[np.uint8]) -> None:
    """Compares the parts, run one after the other, with the heads in PyTorch and with the whole net."""
    expected = answers(trunk, heads, images)
    values: npt.NDArray[np.generic] = images
    for file, scores in zip(EXITS, expected, strict=False):
        onnx.checker.check_model(directory / file, full_check=True)
        outputs = Graph(directory / file).run(values)
        values = outputs.get(NEXT_STATE, outputs[LOGITS])
        error = float(np.abs(outputs[LOGITS] - scores).max() / np.abs(scores).max())
        if not error <= FINE:
            raise CheckFailed(f"{LOGITS} of {file} differ from what they should be (relative error {error:.1e})")


def _describe(model: pb.Model, directory: Path, options: ExitOptions, cuts: Sequence[Cut]) -> None:
    training, names = options.training, [model.blocks[one.place].name for one in cuts]
    shape = model.image.height, model.image.width, model.image.channels
    spent = costs.costs(directory, EXITS[: len(cuts) + 1], shape, options.seconds)
    described = model.exits
    for name, cost in zip([*names, model.blocks[-1].name], spent, strict=True):
        described.parts.add(block=name, cost=cost)
    held = -(-len(training.labels) // HELD_OUT)
    described.dataset, described.seed, described.epochs = training.name, training.seed, options.epochs
    described.fitted_images, described.calibration_images = len(training.labels) - held, held
    described.maximum_loss = options.maximum_loss


def _measure(model: pb.Model, scores: npt.NDArray[np.float64], labels: Labels, options: ExitOptions) -> None:
    """Adds the curve on held-out training images, and the threshold that follows from it."""
    points = curve.curve(scores, labels, [part.cost for part in model.exits.parts])
    model.exits.calibration.extend(_message(point) for point in points)
    whole = float((scores[-1].argmax(axis=1) == labels).mean())
    if (threshold := curve.choose(points, whole, options.maximum_loss)) is not None:
        model.exits.threshold = threshold


def _measure_test(model: pb.Model, scores: npt.NDArray[np.float64], labels: Labels) -> None:
    points = curve.curve(scores, labels, [part.cost for part in model.exits.parts])
    model.exits.measured.extend(_message(point) for point in points)
    for part, found in zip(model.exits.parts, scores, strict=True):
        part.evaluation.dataset, part.evaluation.image_count = model.evaluation.dataset, len(labels)
        part.evaluation.accuracy = float((found.argmax(axis=1) == labels).mean())


def _message(point: curve.Point) -> pb.ExitPoint:
    return pb.ExitPoint(threshold=point.threshold, accuracy=point.accuracy, shares=point.shares, speedup=point.speedup)
