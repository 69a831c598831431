"""`exporter probe`: writes an imported ONNX graph as a new version, with block statistics and lesions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import onnx_ir as ir
from resprobe_protos.contract import LOGITS

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph import net_info
from resprobe_exporter.graph.linear import QUANTISING
from resprobe_exporter.graph.passes.conv_shortcut import PadShortcutToConv
from resprobe_exporter.graph.passes.insert_identity_norm import UntieQuantised
from resprobe_exporter.graph.residual import OtherAddition, examine_additions, find
from resprobe_exporter.importing import class_names, onnx_interface, original_outputs
from resprobe_exporter.importing.canonical import explained
from resprobe_exporter.importing.onnx_source import OnnxFile
from resprobe_exporter.nets.info import BlockInfo, ImageShape, NetInfo
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.verification.expected_onnx import OnnxOracle
from resprobe_exporter.verification.reference import FINE, check_images
from resprobe_exporter.versions.candidate import Candidate, Origin
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.writer import NewVersion, write_version

COARSE = 2e-2  # relative error of half precision and quantised numbers
# Operators of ONNX Runtime's own that include an addition.
FUSED = frozenset({"FusedConv", "NhwcFusedConv", "QLinearAdd", "SkipLayerNormalization"})
HINTS = ("--mean and --std", "the order of --classes", "whether the net takes red, green, blue in this order")
SHOWN = 5  # names of additions that are left out for the same reason
LoadTestSet = Callable[[ImageShape], LabelledImages | None]


@dataclass(frozen=True)
class OnnxOptions:
    """Options of an import.

    Attributes:
        preprocessing: Normalisation that its net was trained with, which becomes part of the graph. If None, the
            graph keeps its input.
        labels: Names of its classes. If None, those of the test set or, without one, numbers.
        family: Name of its kind of net.
        quantised: Whether it is quantised afterwards, and so must take images.
    """

    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    family: str = "onnx"
    quantised: bool = False


def import_onnx(file: OnnxFile, options: OnnxOptions, load: LoadTestSet | None, root: Path, name: str) -> NewVersion:
    """Writes an imported graph as the next version of a model.

    Args:
        file: File that `onnx_source.read` read; its graph is changed.
        options: How to import it.
        load: Reads images of a shape to measure accuracy and baseline with. If None, both are left out.
        root: Model repository.
        name: Name of the model.

    Raises:
        CheckFailed: The graphs do not compute what the file computes; nothing is written.
        ExporterError: The options do not fit the graph, it has no residual additions of images, or the model has
            versions of another kind.
        InvalidRequest: The test set has classes that the net lacks.
    """
    with explained(file.path):
        return write_version(_candidate(file, options, load), root, name)


def _candidate(file: OnnxFile, options: OnnxOptions, load: LoadTestSet | None) -> Candidate:
    """Makes a candidate of an imported graph."""
    graph = file.canonical.graph
    depth, parameters = net_info.depth(graph), net_info.parameter_count(graph)  # before anything is added
    onnx_interface.keep_names_free(file)
    image = onnx_interface.take_images(file, options.preprocessing)
    if image is None and load is not None:
        raise ExporterError("--dataset needs a graph that takes images: give --mean and --std")
    if image is None and options.quantised:
        raise ExporterError("--precision needs a graph that takes images: give --mean and --std")
    blocks = _blocks(file, image is not None)
    test_set = None if image is None or load is None else load(image)
    real = None if test_set is None else test_set.images
    inputs = original_outputs.noise(file) if image is None else check_images(image, real)
    outputs = original_outputs.run(file, inputs, options.preprocessing)
    if image is not None:
        outputs = {LOGITS: onnx_interface.return_scores(file, outputs)}
    onnx_interface.declare_outputs(file, outputs)
    oracle = OnnxOracle(str(file.path), [block.name for block in blocks], inputs, outputs, _tolerance(graph))
    class_count = outputs[LOGITS].shape[1] if image is not None else None
    return Candidate(
        file.canonical,
        NetInfo(options.family, depth, parameters, image, blocks),
        oracle,
        _classes(file, options, test_set, class_count),
        Origin(file.path.name),
        test_set,
        HINTS,
    )


def _tolerance(graph: ir.Graph) -> float:
    """Returns the relative error that rounding makes: a number that is rounded elsewhere is a whole step off."""
    coarse = any(
        node.op_type in QUANTISING or any(value.dtype == ir.DataType.FLOAT16 for value in node.outputs)
        for node in graph
    )
    return COARSE if coarse else FINE


def _classes(
    file: OnnxFile, options: OnnxOptions, test_set: LabelledImages | None, count: int | None
) -> tuple[str, ...]:
    """Returns the labels of a net with `count` classes. If None, it returns tensors, and labels are optional."""
    if count is None:
        return options.labels or ()
    data_set = (test_set.name, test_set.classes) if test_set is not None else None
    return class_names.choose(options.labels, count, str(file.path), data_set)


def _blocks(file: OnnxFile, takes_images: bool) -> list[BlockInfo]:
    """Finds the blocks of a graph, and prepares their additions for the passes."""
    graph = file.canonical.graph
    _report_others(file)
    try:
        blocks = net_info.describe_blocks(graph, list(find(graph)), takes_images or file.channels_last)
    except ir.passes.PreconditionError as error:
        raise ExporterError(f"{file.path}: {error}; --size gives the sizes that are open") from error
    ir.passes.Sequential(PadShortcutToConv(), UntieQuantised())(file.canonical)
    return blocks


def _report_others(file: OnnxFile) -> None:
    """Reports which additions are not residual, and why. Raises ExporterError if none is."""
    graph = file.canonical.graph
    found = list(examine_additions(graph))
    others = [one for one in found if isinstance(one, OtherAddition)]
    for reason, group in groupby(sorted(others, key=lambda one: one.reason), key=lambda one: one.reason):
        progress.note(f"left out, as not F(x) + s(x) of images: {_names(list(group))} ({reason})")
    if len(others) == len(found):
        fused = sorted({node.op_type for node in graph if node.op_type in FUSED})
        hint = f"; it adds inside {', '.join(fused)}: give the file from before it was optimised" if fused else ""
        raise ExporterError(f"{file.path} has no residual additions F(x) + s(x) of images{hint}")


def _names(others: Sequence[OtherAddition]) -> str:
    names = [str(one.node.outputs[0].name) for one in others]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
