"""Gives an imported graph the inputs and outputs that are served: pixels in, scores out. Reports what it assumed."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from resprobe_protos.contract import BLOCK_SCALE, BLOCKS, IMAGE, LEAN, LOGITS

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.passes.insert_identity_norm import UNTIE
from resprobe_exporter.graph.passes.pixel_input import TakePixels
from resprobe_exporter.graph.passes.take_logarithm import TakeLogarithm
from resprobe_exporter.graph.utils import only_input
from resprobe_exporter.importing import scores
from resprobe_exporter.importing.onnx_source import OnnxFile, spatial_axes
from resprobe_exporter.nets.info import ImageShape
from resprobe_exporter.nets.preprocessing import Preprocessing

Array = npt.NDArray[np.generic]
ADDED = (IMAGE, LOGITS, BLOCKS, BLOCK_SCALE, UNTIE)  # first words of the names of added tensors


def keep_names_free(file: OnnxFile) -> None:
    """Renames tensors that have the names of tensors that are added.

    Raises:
        ExporterError: The graph has block statistics already, or its input or an output has such a name.
    """
    graph = file.canonical.graph
    if any(output.name == BLOCKS for output in graph.outputs):
        raise ExporterError(f"{file.path} returns {BLOCKS} already; give the graph that it was made from, {LEAN}")
    for value in (*graph.inputs, *graph.outputs):
        if value.name in (BLOCKS, BLOCK_SCALE):
            raise ExporterError(f"{file.path} has an input or output {value.name}, a name that is added; rename it")
    for value in graph.initializers.copy().values():
        if _is_reserved(value) and value.const_value is not None:
            value.const_value = ir.tensor(
                value.const_value.numpy(), name=value.name
            )  # the original model shares the other
            value.name = f"file/{value.name}"
    for value in (value for node in graph for value in node.outputs):
        if _is_reserved(value) and not value.is_graph_output():
            value.name = f"file/{value.name}"


def _is_reserved(value: ir.Value) -> bool:
    return (value.name or "").split("/")[0] in ADDED


def take_images(file: OnnxFile, preprocessing: Preprocessing | None) -> ImageShape | None:
    """Adds the preprocessing to the beginning of the graph.

    Returns:
        Height, width and channels of the images that the graph takes. If None, it takes tensors, as before.

    Raises:
        ExporterError: The graph does not take normalised images of a known size.
    """
    graph = file.canonical.graph
    value = graph.inputs[0]
    sizes = list(value.shape or ())
    if preprocessing is None:
        ours = value.name == IMAGE and value.dtype == ir.DataType.UINT8 and graph.outputs[0].name == LOGITS
        return _image_shape(value, sizes[1:]) if ours else None
    if spatial_axes(sizes) is None or value.dtype is None or not value.dtype.is_floating_point():
        raise ExporterError(
            f"input {value.name} of {file.path} is {value.dtype} {value.shape}; --mean and --std are for normalised "
            "images, [n, c, h, w] or [n, h, w, c] with 1 or 3 channels"
        )
    shape = _image_shape(value, sizes[1:] if file.channels_last else [*sizes[2:], sizes[1]])
    preprocessing.check(shape[2])
    mean, std = preprocessing.as_lists()
    TakePixels(mean, std, file.channels_last)(file.canonical)
    layout = "[n, h, w, c]" if file.channels_last else "[n, c, h, w]"
    order = "red, green, blue; " if shape[2] == 3 else ""
    progress.note(
        f"{file.path.name} takes {value.name} as {layout} of {'×'.join(map(str, shape))} images ({order}pixels / 255, "
        f"minus {_text(mean)}, divided by {_text(std)})"
    )
    return shape


def _text(values: Sequence[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def _image_shape(value: ir.Value, sizes: Sequence[object]) -> ImageShape:
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) != 3:
        raise ExporterError(f"input {value.name} is {value.shape}; --size gives the sizes that are open")
    height, width, channels = known
    return height, width, channels


def declare_outputs(file: OnnxFile, found: Mapping[str, Array]) -> None:
    """Sets the shapes of the graph's outputs; their first axis is the batch axis of the input.

    Args:
        file: File whose graph is changed.
        found: Outputs that it returned, by name, each [n, …].
    """
    graph = file.canonical.graph
    batch = only_input(graph)[1][0]
    for output in graph.outputs:
        output.shape = ir.Shape([batch, *found[str(output.name)].shape[1:]])


def return_scores(file: OnnxFile, found: Mapping[str, Array]) -> Array:
    """Makes the graph return scores, from which the server makes the probabilities that the file returns.

    Args:
        file: File whose graph is changed.
        found: Outputs that the file returned as it came, by name.

    Returns:
        The scores for the same inputs, [n, classes].

    Raises:
        ExporterError: The graph does not return scores or probabilities of classes.
    """
    graph, (name, given) = file.canonical.graph, next(iter(found.items()))
    if len(found) > 1 + (file.scores is not None) or given.ndim != 2 or given.dtype.kind != "f":
        shapes = ", ".join(f"{output.name} {output.shape}" for output in graph.outputs if output.name != file.scores)
        raise ExporterError(
            f"{file.path} returns {shapes}; --mean and --std are for nets that return numbers [n, classes]: "
            "--output chooses that output"
        )
    if given.shape[1] < 2:
        raise ExporterError(f"{file.path} returns one number for each image; expected one for each class, two or more")
    before = None if file.scores is None else found[file.scores]
    if before is not None and before.shape == given.shape and scores.give(before, given):
        del graph.outputs[0]
        what, given = "the scores before its Softmax", before
    else:
        del graph.outputs[1:]
        what, given = _logarithm(file, given)
    common_passes.RemoveUnusedNodesPass()(file.canonical)
    graph.outputs[0].name = LOGITS
    progress.note(f"{file.path.name} returns {name} of {given.shape[1]} classes; served: {what}")
    return given


def _logarithm(file: OnnxFile, given: Array) -> tuple[str, Array]:
    """Makes scores of an output without a Softmax that could be left out. Returns them with a description."""
    if scores.are_probabilities(given):
        TakeLogarithm()(file.canonical)
        described = "their logarithms, as they are probabilities: they are not negative and sum to 1"
        return described, scores.logarithm(given)
    if (np.abs(given.astype(float) - 0.5) <= 0.5).all():
        return "scores as they are: they lie in 0…1 but do not sum to 1, so probabilities are their softmax", given
    return "scores as they are", given
