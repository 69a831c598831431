"""Imports an ONNX file as a new version: checked against the file itself, with block statistics and lesions."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import onnx_ir as ir
from resprobe_protos.contract import LEAN, LOGITS

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.linear import QUANTISING
from resprobe_exporter.graph.passes.conv_shortcut import PadShortcutToConv
from resprobe_exporter.graph.passes.insert_identity_norm import UntieQuantised
from resprobe_exporter.graph.residual import Other, ResidualAddition, find, sums
from resprobe_exporter.importing import class_names, onnx_input
from resprobe_exporter.importing.normalisation import explained
from resprobe_exporter.importing.onnx_input import Array, ImageShape
from resprobe_exporter.importing.onnx_source import Foreign
from resprobe_exporter.nets.resnet import BlockInfo
from resprobe_exporter.verification import trial
from resprobe_exporter.verification.expected import of_graph
from resprobe_exporter.verification.independence import check_rows
from resprobe_exporter.verification.verify import check
from resprobe_exporter.versions import facts, metadata, repository, succession
from resprobe_exporter.versions.build import Built
from resprobe_exporter.versions.plausibility import doubt
from resprobe_exporter.versions.writer import LabelledImages, Preprocessing, check_images, finish, write_graphs

FINE, COARSE = 1e-4, 2e-2  # relative errors: of float32, and of half precision and quantised numbers
# Operators of ONNX Runtime's own that add inside.
FUSED = frozenset({"FusedConv", "NhwcFusedConv", "QLinearAdd", "SkipLayerNormalization"})
HINTS = ("--mean and --std", "the order of --classes", "whether the net takes red, green, blue in this order")
SHOWN = 5  # additions that are left out for one reason, by name


@dataclass(frozen=True)
class Options:
    """How to take a file.

    Attributes:
        preprocessing: Preprocessing that its net was trained with. It becomes part of the graph, which then takes
            bytes. If None, the graph takes what it took.
        labels: Names of its classes. If None, those of the test set, else numbers.
        family: What its kind of net is called.
    """

    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    family: str = "onnx"


def adopt(
    file: Foreign, options: Options, load: Callable[[ImageShape], LabelledImages | None] | None, root: Path, name: str
) -> Built:
    """Writes an imported graph as the next version of a model.

    Args:
        file: Read by `foreign.read`; what is in it is changed.
        options: See there.
        load: Reads images of a size to measure accuracy and baseline with; None leaves both out.
        root: The model repository.
        name: Of the model.

    Raises:
        CheckFailed: The graphs do not compute what the file computes; nothing is written.
        ExporterError: The options do not fit the graph, it has no residual additions of images, or the model has
            versions of another kind.
        InvalidRequest: The test set has classes that the net lacks.
    """
    begin = time.perf_counter()
    repository.check_writable(root, name)
    with explained(file.path):
        graph = file.levelled.graph
        depth, parameters = facts.depth(graph), facts.parameter_count(graph)  # before anything is added
        onnx_input.keep_names_free(file)
        image = onnx_input.take_images(file, options.preprocessing)
        if image is None and load is not None:
            raise ExporterError("--dataset needs a graph that takes images: give --mean and --std")
        blocks, additions = _blocks(file, image is not None)
        test_set = None if image is None or load is None else load(image)
        inputs = trial.noise(file) if image is None else check_images(image, test_set)
        expected = trial.run(file, inputs, options.preprocessing)
        if image is not None:
            expected = {LOGITS: onnx_input.return_scores(file, expected)}
        onnx_input.declare_outputs(file, expected)
        classes = _classes(file, options, test_set, expected.get(LOGITS))
        succession.check(root, name, image, classes)
        known = facts.Facts(options.family, depth, parameters, image, blocks)
        with repository.new_version(root, name) as draft:
            _write(file, known, inputs, expected, draft.directory)
            description = metadata.describe(draft, known, additions, classes, metadata.Origin(file.path.name))
            finish(draft, description, test_set, progress.say)
    if test_set is not None:
        doubt(description, len(test_set.classes), HINTS)
    return Built(description, draft.target, 0.0, time.perf_counter() - begin)


def _write(file: Foreign, known: facts.Facts, inputs: Array, expected: Mapping[str, Array], directory: Path) -> None:
    """Writes the graphs, and checks that they can be served and compute what the file does."""
    progress.say(f"writing {len(known.blocks)} blocks")
    write_graphs(file.levelled, directory, residual=True)
    progress.say(f"comparing with {file.path.name}")
    tolerance = _tolerance(file.levelled.graph)
    check_rows(directory / LEAN, inputs, str(file.path), tolerance)
    names = [block.name for block in known.blocks]
    check(of_graph(file.levelled, names, inputs, expected, directory, tolerance), inputs, directory)


def _tolerance(graph: ir.Graph) -> float:
    """Relative error that rounding makes: a number that is rounded elsewhere is a whole step off."""
    coarse = any(
        node.op_type in QUANTISING or any(value.dtype == ir.DataType.FLOAT16 for value in node.outputs)
        for node in graph
    )
    return COARSE if coarse else FINE


def _classes(file: Foreign, options: Options, test_set: LabelledImages | None, scores: Array | None) -> tuple[str, ...]:
    if scores is None:
        return options.labels or ()
    data_set = (test_set.name, test_set.classes) if test_set is not None else None
    return class_names.choose(options.labels, scores.shape[1], str(file.path), data_set)


def _blocks(file: Foreign, takes_images: bool) -> tuple[list[BlockInfo], list[ResidualAddition]]:
    """The blocks of a graph, and their additions, as they are written. Says which additions are none, and why."""
    graph = file.levelled.graph
    found = list(sums(graph))
    others = [one for one in found if isinstance(one, Other)]
    for reason, group in groupby(sorted(others, key=lambda one: one.reason), key=lambda one: one.reason):
        progress.note(f"left out, as no F(x) + s(x) of images: {_names(list(group))} ({reason})")
    if len(others) == len(found):
        fused = sorted({node.op_type for node in graph if node.op_type in FUSED})
        hint = f"; it adds inside {', '.join(fused)}: give the file from before it was optimised" if fused else ""
        raise ExporterError(f"{file.path} has no residual additions F(x) + s(x) of images{hint}")
    try:
        blocks = facts.blocks(graph, list(find(graph)), takes_images or file.channels_last)
    except ir.passes.PreconditionError as error:
        raise ExporterError(f"{file.path}: {error}; --size gives the size of images that a file leaves open") from error
    for step in (PadShortcutToConv, UntieQuantised):
        step()(file.levelled)
    return blocks, list(find(graph))


def _names(others: Sequence[Other]) -> str:
    names = [str(one.node.outputs[0].name) for one in others]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
