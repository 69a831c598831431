"""`exporter probe`: writes an imported ONNX graph as a new version, with block statistics and lesions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from resprobe_protos.contract import LOGITS

from resprobe_exporter.classes import class_names
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph import net_info
from resprobe_exporter.graph.linear import QUANTISING
from resprobe_exporter.graph.passes.conv_shortcut import PadShortcutToConv
from resprobe_exporter.graph.passes.insert_identity_norm import UntieQuantised
from resprobe_exporter.graph.variants import channel_axes
from resprobe_exporter.importing import onnx_interface, original_outputs
from resprobe_exporter.importing.blocks import find_blocks
from resprobe_exporter.importing.canonical import explained
from resprobe_exporter.importing.chosen_blocks import Choice
from resprobe_exporter.importing.onnx_source import OnnxFile
from resprobe_exporter.nets.info import ImageShape, NetInfo
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.verification.expected_onnx import OnnxOracle
from resprobe_exporter.verification.reference import FINE, check_images
from resprobe_exporter.versions.candidate import Candidate, Origin
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.writer import NewVersion, write_version

COARSE = 2e-2  # relative error of half precision and quantised numbers
HINTS = ("--mean and --std", "the order of --classes", "whether the net takes red, green, blue in this order")
LoadTestSet = Callable[[ImageShape], LabelledImages | None]


@dataclass(frozen=True)
class OnnxOptions:
    """Options of an import.

    Attributes:
        preprocessing: Normalisation that its net was trained with, which becomes part of the graph. If None, the
            graph keeps its input.
        labels: Names of its classes. If None, those of the test set or, without one, numbers.
        family: Name of its kind of net.
        blocks: Blocks that are chosen by hand. If None, all residual additions are blocks.
        quantised: Whether it is quantised afterwards, and so must take images.
        readouts: Reads training images of a shape to fit heads on. If None, there are no heads.
    """

    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    family: str = "onnx"
    blocks: Choice | None = None
    quantised: bool = False
    readouts: Callable[[ImageShape], TrainingImages | None] | None = None


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
        ExporterError: The options do not fit the graph, it has no residual additions, or the model has
            versions of another kind.
        InvalidRequest: The test set has classes that the net lacks.
    """
    with explained(file.path):
        candidate = _candidate(file, options, load)
        image = candidate.info.image
        if image is None and options.readouts is not None:
            raise ExporterError("--readouts needs a graph that takes images: give --preprocess or --mean and --std")
        readouts = None if image is None or options.readouts is None else options.readouts(image)
        return write_version(candidate, root, name, readouts=readouts)


def _candidate(file: OnnxFile, options: OnnxOptions, load: LoadTestSet | None) -> Candidate:
    """Makes a candidate of an imported graph."""
    graph = file.canonical.graph
    depth, parameters = net_info.depth(graph), net_info.parameter_count(graph)  # before anything is added
    onnx_interface.keep_names_free(file)
    image = onnx_interface.take_images(file, options.preprocessing)
    if image is None and load is not None:
        raise ExporterError("--dataset needs a graph that takes images: give --preprocess or --mean and --std")
    if image is None and options.quantised:
        raise ExporterError("--precision needs a graph that takes images: give --preprocess or --mean and --std")
    blocks = find_blocks(file.canonical, file.path, image is not None or file.channels_last, options.blocks)
    ir.passes.Sequential(PadShortcutToConv(), UntieQuantised())(file.canonical)
    test_set = None if image is None or load is None else load(image)
    real = None if test_set is None else test_set.images
    inputs = original_outputs.noise(file) if image is None else check_images(image, real)
    outputs = original_outputs.run(file, inputs, options.preprocessing)
    if image is not None:
        outputs = {LOGITS: onnx_interface.return_scores(file, outputs)}
    onnx_interface.declare_outputs(file, outputs)
    names, axes = [block.name for block in blocks], channel_axes(blocks)
    oracle = OnnxOracle(str(file.path), names, axes, inputs, outputs, _tolerance(graph))
    class_count = outputs[LOGITS].shape[1] if image is not None else None
    return Candidate(
        file.canonical,
        NetInfo(options.family, depth, parameters, image, blocks),
        oracle,
        _classes(file, options, test_set, class_count),
        Origin(file.path.name),
        test_set,
        HINTS,
        None if image is None else options.preprocessing,
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
    is_imagenet = options.preprocessing is not None and options.preprocessing.pictures is not None
    return class_names.choose(options.labels, count, str(file.path), data_set, is_imagenet)
