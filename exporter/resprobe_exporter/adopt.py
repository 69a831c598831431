"""Somebody's ONNX file as a new version: checked against the file itself, with block statistics and lesions."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from resprobe_exporter import describe, facts, foreign, progress, repository
from resprobe_exporter.build import Built
from resprobe_exporter.check import check
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.export import LOGITS
from resprobe_exporter.foreign import Foreign
from resprobe_exporter.graph.lesion import INPUT as BLOCK_SCALE
from resprobe_exporter.graph.pixels import INPUT, TakePixels
from resprobe_exporter.graph.probe import OUTPUT as BLOCKS
from resprobe_exporter.graph.residual import find, sums
from resprobe_exporter.graph.shortcut import PadShortcutToConv
from resprobe_exporter.publish import CHECK_IMAGES, LabelledImages, Preprocessing, check_images, finish, write_graphs
from resprobe_exporter.reference import of_graph
from resprobe_exporter.resnet import BlockInfo
from resprobe_exporter.runtime import Graph

Array = npt.NDArray[np.generic]
ImageShape = tuple[int, int, int]  # height, width, channels
TOLERANCES = {ir.DataType.FLOAT16: 2e-2}  # relative; of others: 1e-4


@dataclass(frozen=True)
class Options:
    """How to take a file.

    Attributes:
        preprocessing: That its net was trained with, which becomes part of the graph: this then takes bytes. None: the
            graph takes what it took.
        labels: Of its classes; None: those of the test set, else numbers.
        family: What its kind of net is called.
    """

    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    family: str = "onnx"


def adopt(
    file: Foreign, options: Options, load: Callable[[ImageShape], LabelledImages | None] | None, root: Path, name: str
) -> Built:
    """Writes somebody's graph as the next version of a model.

    Args:
        file: Read by `foreign.read`; what is in it is changed.
        options: See there.
        load: Reads images of a size to measure accuracy and baseline with; None leaves both out.
        root: The model repository.
        name: Of the model.

    Raises:
        CheckFailed: The graphs do not compute what the file computes; nothing is written.
        ExporterError: The options do not fit the graph, or it has no residual additions of images.
    """
    begin = time.perf_counter()
    repository.check_name(name)
    graph = file.levelled.graph
    depth, parameters = facts.depth(graph), facts.parameter_count(graph)
    _keep_names_free(file)
    image = _take_images(file, options.preprocessing)
    if image is None and load is not None:
        raise ExporterError("--dataset needs a graph that takes images: give --mean and --std")
    test_set = None if image is None or load is None else load(image)
    labels = _labels(file, options, test_set, image is not None)
    blocks = _blocks(file)
    PadShortcutToConv()(file.levelled)
    additions = list(find(graph))
    known = facts.Facts(options.family, depth, parameters, image, blocks)
    inputs = _noise(graph.inputs[0], file) if image is None else check_images(image, test_set)
    expected = _run(file, inputs, options.preprocessing)
    with repository.new_version(root, name) as draft:
        progress.say(f"writing {len(blocks)} blocks")
        write_graphs(file.levelled, draft.directory, residual=True)
        progress.say(f"comparing with {file.path.name}")
        names = [block.name for block in blocks]
        tolerance = TOLERANCES.get(additions[0].branch.dtype or ir.DataType.FLOAT, 1e-4)
        check(of_graph(file.levelled, names, inputs, expected, draft.directory, tolerance), inputs, draft.directory)
        description = describe.describe(draft, known, additions, labels, describe.Origin(file.path.name))
        finish(draft, description, test_set, progress.say)
    return Built(description, draft.target, 0.0, time.perf_counter() - begin)


def _keep_names_free(file: Foreign) -> None:
    """Renames what is called as something that is added. Raises ExporterError if statistics are there already."""
    outputs = file.levelled.graph.outputs
    if any(output.name == BLOCKS for output in outputs):
        raise ExporterError(f"{file.path} returns {BLOCKS} already; give the graph that it was made from, model.onnx")
    for value in (value for node in file.levelled.graph for value in node.outputs if value not in outputs):
        if value.name in (INPUT, LOGITS, BLOCKS, BLOCK_SCALE):
            value.name = f"{value.name}/{file.path.stem}"


def _take_images(file: Foreign, preprocessing: Preprocessing | None) -> ImageShape | None:
    """Puts the preprocessing in front of the graph. Returns the images it takes then; None: it does not take bytes."""
    graph = file.levelled.graph
    (taken,) = graph.inputs
    sizes = list(taken.shape or ())
    if preprocessing is None:
        ours = taken.name == INPUT and taken.dtype == ir.DataType.UINT8 and graph.outputs[0].name == LOGITS
        return _image_shape(taken, sizes[1:]) if ours else None
    if foreign.spatial_axes(sizes) is None or taken.dtype is None or not taken.dtype.is_floating_point():
        raise ExporterError(
            f"input {taken.name} of {file.path} is {taken.dtype} {taken.shape}; --mean and --std are for normalised "
            "images, [n, c, h, w] or [n, h, w, c] with 1 or 3 channels"
        )
    shape = _image_shape(taken, sizes[1:] if file.channels_last else [*sizes[2:], sizes[1]])
    preprocessing.check(shape[2])
    _name_logits(file)
    mean, std = (list(map(float, values)) for values in (preprocessing.mean, preprocessing.std))
    TakePixels(mean, std, file.channels_last)(file.levelled)
    return shape


def _image_shape(taken: ir.Value, sizes: Sequence[object]) -> ImageShape:
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) != 3:
        raise ExporterError(f"input {taken.name} is {taken.shape}; --size says what it leaves open")
    height, width, channels = known
    return height, width, channels


def _name_logits(file: Foreign) -> None:
    outputs = file.levelled.graph.outputs
    if len(outputs) != 1 or outputs[0].shape is None or len(outputs[0].shape) != 2:
        found = ", ".join(f"{output.name} {output.shape}" for output in outputs)
        raise ExporterError(
            f"{file.path} returns {found}; --mean and --std are for nets that return [n, classes]: "
            "--output says which output that is"
        )
    outputs[0].name = LOGITS


def _labels(file: Foreign, options: Options, test_set: LabelledImages | None, classifies: bool) -> tuple[str, ...]:
    if not classifies:
        return options.labels or ()
    shape = file.levelled.graph.outputs[0].shape
    count = shape[-1] if shape is not None else None
    labels = options.labels or (test_set.classes if test_set is not None else None)
    if labels is None:
        return tuple(map(str, range(count))) if isinstance(count, int) else ()
    if count != len(labels):
        raise ExporterError(f"{file.path} has {count} classes, and there are {len(labels)} labels")
    return labels


def _blocks(file: Foreign) -> list[BlockInfo]:
    additions = list(find(file.levelled.graph))
    taken = {addition.node for addition in additions}
    if left := [node for node, *_ in sums(file.levelled.graph) if node not in taken]:
        progress.say(f"not taken for F(x) + s(x): {', '.join(str(node.outputs[0].name) for node in left)}")
    if not additions:
        raise ExporterError(f"{file.path} has no residual additions F(x) + s(x) of images, [n, c, h, w]")
    try:
        return facts.blocks(additions)
    except ir.passes.PreconditionError as error:
        raise ExporterError(f"{file.path}: {error}; --size gives the size of images that a file leaves open") from error


def _noise(taken: ir.Value, file: Foreign) -> Array:
    """Inputs for a graph that takes anything."""
    sizes = list(taken.shape or ())[1:]
    known = [size for size in sizes if isinstance(size, int)]
    if taken.dtype is None or len(known) < len(sizes):
        raise ExporterError(f"input {taken.name} of {file.path} is {taken.shape}; --size says what it leaves open")
    shape = CHECK_IMAGES, *known
    random = np.random.default_rng(0)
    if taken.dtype.is_floating_point():
        return random.standard_normal(shape).astype(taken.dtype.numpy())
    return random.integers(0, 256, shape).astype(taken.dtype.numpy())


def _run(file: Foreign, inputs: Array, preprocessing: Preprocessing | None) -> Mapping[str, Array]:
    """What the file returns as it came, under the names of what is written."""
    tensors = inputs if preprocessing is None else _normalise(inputs, preprocessing, file)
    graph, rows = Graph(file.model.SerializeToString()), file.rows
    parts = []
    for part in (tensors[start : start + rows] for start in range(0, len(tensors), rows)):
        outputs = graph.run(np.resize(part, (rows, *part.shape[1:])))  # repeats what it has
        parts.append({name: array[: len(part)] for name, array in outputs.items()})
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return found if preprocessing is None else {LOGITS: next(iter(found.values()))}


def _normalise(images: npt.NDArray[Any], preprocessing: Preprocessing, file: Foreign) -> Array:
    mean, std = (np.array(list(map(float, one))) for one in (preprocessing.mean, preprocessing.std))
    pixels: npt.NDArray[Any] = (images / 255 - mean) / std
    return (pixels if file.channels_last else np.moveaxis(pixels, -1, 1)).astype(file.dtype)
