"""Makes inputs and outputs of an imported graph what is served: pixels in, scores out. Says what was assumed."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from resprobe_protos.contract import BLOCK_SCALE, BLOCKS, IMAGE, LOGITS

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.passes.pixel_input import TakePixels
from resprobe_exporter.importing import scores
from resprobe_exporter.importing.onnx_source import Foreign, spatial_axes
from resprobe_exporter.versions.writer import Preprocessing

Array = npt.NDArray[np.generic]
OURS = (IMAGE, LOGITS, BLOCKS, BLOCK_SCALE, "untie")  # what names of added tensors begin with
ImageShape = tuple[int, int, int]  # height, width, channels


def keep_names_free(file: Foreign) -> None:
    """Renames what is called as something that is added.

    Raises:
        ExporterError: Statistics are there already, or what it takes or returns, whose name stays, is called so.
    """
    graph = file.levelled.graph
    if any(output.name == BLOCKS for output in graph.outputs):
        raise ExporterError(f"{file.path} returns {BLOCKS} already; give the graph that it was made from, model.onnx")
    for value in (*graph.inputs, *graph.outputs):
        if value.name in (BLOCKS, BLOCK_SCALE):
            raise ExporterError(f"{file.path} has an input or output {value.name}, as one that is added; rename it")
    for value in graph.initializers.copy().values():
        if _is_ours(value) and value.const_value is not None:
            value.const_value = ir.tensor(value.const_value.numpy(), name=value.name)  # the file shares the other
            value.name = f"file/{value.name}"
    for value in (value for node in graph for value in node.outputs):
        if _is_ours(value) and not value.is_graph_output():
            value.name = f"file/{value.name}"


def _is_ours(value: ir.Value) -> bool:
    return (value.name or "").split("/")[0] in OURS


def take_images(file: Foreign, preprocessing: Preprocessing | None) -> ImageShape | None:
    """Puts the preprocessing in front of the graph.

    Returns:
        The images that it takes as bytes then. If None, it takes what it took.

    Raises:
        ExporterError: It does not take normalised images of a known size.
    """
    graph = file.levelled.graph
    (taken,) = graph.inputs
    sizes = list(taken.shape or ())
    if preprocessing is None:
        ours = taken.name == IMAGE and taken.dtype == ir.DataType.UINT8 and graph.outputs[0].name == LOGITS
        return _image_shape(taken, sizes[1:]) if ours else None
    if spatial_axes(sizes) is None or taken.dtype is None or not taken.dtype.is_floating_point():
        raise ExporterError(
            f"input {taken.name} of {file.path} is {taken.dtype} {taken.shape}; --mean and --std are for normalised "
            "images, [n, c, h, w] or [n, h, w, c] with 1 or 3 channels"
        )
    shape = _image_shape(taken, sizes[1:] if file.channels_last else [*sizes[2:], sizes[1]])
    preprocessing.check(shape[2])
    mean, std = (list(map(float, values)) for values in (preprocessing.mean, preprocessing.std))
    TakePixels(mean, std, file.channels_last)(file.levelled)
    layout = "[n, h, w, c]" if file.channels_last else "[n, c, h, w]"
    order = "red, green, blue; " if shape[2] == 3 else ""
    progress.note(
        f"{file.path.name} takes {taken.name} as {layout} of {'×'.join(map(str, shape))} images ({order}pixels / 255, "
        f"minus {_text(mean)}, divided by {_text(std)})"
    )
    return shape


def _text(values: Sequence[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def _image_shape(taken: ir.Value, sizes: Sequence[object]) -> ImageShape:
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) != 3:
        raise ExporterError(f"input {taken.name} is {taken.shape}; --size says what it leaves open")
    height, width, channels = known
    return height, width, channels


def declare_outputs(file: Foreign, found: Mapping[str, Array]) -> None:
    """Writes down the shapes of what the graph returns, which have the batch axis of what it takes.

    Args:
        file: Its outputs get their shapes.
        found: What it returned, by name, each [n, …].
    """
    graph = file.levelled.graph
    (taken,) = graph.inputs
    assert taken.shape is not None
    for output in graph.outputs:
        output.shape = ir.Shape([taken.shape[0], *found[str(output.name)].shape[1:]])


def return_scores(file: Foreign, found: Mapping[str, Array]) -> Array:
    """Makes the graph return scores, of which the server makes the probabilities that the file returns.

    Args:
        file: What it returns is changed.
        found: What it returns as it came.

    Returns:
        The scores for the same inputs, [n, classes].

    Raises:
        ExporterError: It does not return scores or probabilities of classes.
    """
    graph, (name, given) = file.levelled.graph, next(iter(found.items()))
    if len(found) > 1 + (file.scores is not None) or given.ndim != 2 or given.dtype.kind != "f":
        shapes = ", ".join(f"{output.name} {output.shape}" for output in graph.outputs if output.name != file.scores)
        raise ExporterError(
            f"{file.path} returns {shapes}; --mean and --std are for nets that return numbers [n, classes]: "
            "--output says which output that is"
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
    common_passes.RemoveUnusedNodesPass()(file.levelled)
    graph.outputs[0].name = LOGITS
    progress.note(f"{file.path.name} returns {name} of {given.shape[1]} classes; served are {what}")
    return given


def _logarithm(file: Foreign, given: Array) -> tuple[str, Array]:
    """What is served of an output that has no Softmax that could be left out, in words and in numbers."""
    if scores.are_probabilities(given):
        scores.TakeLogarithm()(file.levelled)
        return "their logarithms, as they are not negative and sum to 1: they are probabilities", scores.logarithm(
            given
        )
    if (np.abs(given.astype(float) - 0.5) <= 0.5).all():
        return "these as scores: they lie in 0…1 but do not sum to 1, so probabilities are their softmax", given
    return "these as scores", given
