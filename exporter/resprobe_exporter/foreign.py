"""Somebody's ONNX file: read, and brought into the form that the passes take.

What varies from one exporter to the next is levelled out here: the opset, weights that are listed as inputs, constants
that are nodes, additions that are a Sum of two, a batch size that is written out.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from google.protobuf.message import DecodeError
from onnxscript.optimizer import fold_constants

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.batch import FreeBatch
from resprobe_exporter.graph.sums import SumToAdd

OPSET = 18  # the first in which the passes' operators are what they are now
LEVELLING: Sequence[type[ir.passes.InPlacePass]] = (
    common_passes.InlinePass,
    common_passes.RemoveInitializersFromInputsPass,
    common_passes.IdentityEliminationPass,
    SumToAdd,
)


@dataclass(frozen=True)
class Foreign:
    """Somebody's graph.

    Attributes:
        path: Of the file.
        model: As it came, with the outputs that are wanted.
        levelled: The same computation for any number of images, ready for the passes.
    """

    path: Path
    model: onnx.ModelProto
    levelled: ir.Model

    @property
    def rows(self) -> int:
        """How many images the file takes at a time, if it says so; else 1."""
        return self._sizes[0].dim_value or 1

    @property
    def channels_last(self) -> bool:
        """Whether it takes images as [n, h, w, c]."""
        return spatial_axes([one.dim_value for one in self._sizes]) == (1, 2)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what it takes."""
        return onnx.helper.tensor_dtype_to_np_dtype(_input(self.model).type.tensor_type.elem_type)

    @property
    def _sizes(self) -> Sequence[onnx.TensorShapeProto.Dimension]:
        return _input(self.model).type.tensor_type.shape.dim


def read(path: Path, size: tuple[int, int] | None = None, output: str | None = None, scores: bool = False) -> Foreign:
    """Reads a file.

    Args:
        path: Of it. Weights may lie beside it.
        size: Height and width of its images, where it leaves them open.
        output: The only one that is wanted; None: all.
        scores: Whether scores are wanted instead of the probabilities that a Softmax at the end makes of them.

    Raises:
        ExporterError: It is no ONNX model, takes more than one tensor, or has no such output.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except OSError as error:
        raise ExporterError(f"{path} cannot be read: {error.strerror or error}") from error
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ExporterError(f"{path} is no ONNX model: {str(error).splitlines()[0]}") from error
    _set_channels(model)
    if size is not None:
        _set_size(_input(model), size)
    if output is not None:
        _keep_output(model, output, path)
    if scores:
        _leave_softmax_out(model)
    return Foreign(path, model, _level(model, path))


def _input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """The only one. Raises ExporterError if there are others."""
    weights = {weight.name for weight in model.graph.initializer}  # which older files list as inputs too
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise ExporterError(f"the graph takes {len(inputs)} tensors ({names}); expected one, the images")
    return inputs[0]


def spatial_axes(shape: Sequence[object]) -> tuple[int, int] | None:
    """Where height and width are in [n, c, h, w] or [n, h, w, c], c being 1 or 3; None: it is neither."""
    if len(shape) == 4 and shape[1] in (1, 3):
        return 2, 3
    return (1, 2) if len(shape) == 4 and shape[3] in (1, 3) else None


def _set_channels(model: onnx.ModelProto) -> None:
    """Writes down how many channels there are, where only the weights of the first convolution say so."""
    taken = _input(model)
    sizes = taken.type.tensor_type.shape.dim
    weights = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[0] == taken.name and node.input[1] in weights and len(sizes) == 4:
            groups = [attribute.i for attribute in node.attribute if attribute.name == "group"]
            sizes[1].dim_value = sizes[1].dim_value or weights[node.input[1]].dims[1] * (groups or [1])[0]


def _set_size(value: onnx.ValueInfoProto, size: tuple[int, int]) -> None:
    sizes = value.type.tensor_type.shape.dim
    axes = spatial_axes([one.dim_value or None for one in sizes])
    if axes is None:
        raise ExporterError(f"input {value.name} is {_text(sizes)}; --size is for images, [n, c, h, w] or [n, h, w, c]")
    for axis, length in zip(axes, size, strict=True):
        if sizes[axis].dim_value not in (0, length):
            raise ExporterError(f"input {value.name} is {_text(sizes)}; --size {size[0]} {size[1]} does not fit it")
        sizes[axis].dim_value = length


def _text(sizes: Sequence[onnx.TensorShapeProto.Dimension]) -> str:
    return f"[{', '.join(str(one.dim_value or one.dim_param or '?') for one in sizes)}]"


def _keep_output(model: onnx.ModelProto, output: str, path: Path) -> None:
    known = [value for value in model.graph.output if value.name == output]
    if not known:
        names = ", ".join(value.name for value in model.graph.output)
        raise ExporterError(f"{path} has no output {output!r}; its outputs: {names}")
    del model.graph.output[:]
    model.graph.output.extend(known)


def _leave_softmax_out(model: onnx.ModelProto) -> None:
    for output in model.graph.output:
        for node in model.graph.node:
            if node.op_type == "Softmax" and node.output[0] == output.name:
                output.name = node.input[0]


def _is_filling(node: ir.Node) -> bool | None:
    """Has zeros folded too, of which paddings are made; the rest as it is by default."""
    return True if node.op_type == "ConstantOfShape" else None


def _level(model: onnx.ModelProto, path: Path) -> ir.Model:
    versions = {one.domain: one.version for one in model.opset_import}
    if versions.get("", OPSET) < OPSET:
        try:
            model = onnx.version_converter.convert_version(model, OPSET)
        except RuntimeError as error:
            raise ExporterError(
                f"{path} is of opset {versions['']} and cannot be converted to {OPSET}: {error}; export it with "
                f"opset {OPSET} or later"
            ) from error
    levelled = ir.from_proto(model)
    for step in LEVELLING:
        step()(levelled)
    fold_constants(levelled, should_fold=_is_filling)  # some compute what a Reshape or a Pad is to do
    common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(levelled)
    common_passes.RemoveUnusedNodesPass()(levelled)
    for graph_input in levelled.graph.inputs:
        if graph_input.shape is None or not len(graph_input.shape):
            raise ExporterError(f"input {graph_input.name} of {path} has no batch axis; expected [n, c, h, w]")
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # a shape that cannot be inferred is reported by who needs it
    FreeBatch()(levelled)
    for node in levelled.graph:
        node.doc_string = None
        node.metadata_props.clear()  # file names of somebody's machine
    return levelled
