"""Reads an ONNX file, with its inputs and outputs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.importing import other_files
from resprobe_exporter.importing.canonical import canonicalise, explained, sort, summary
from resprobe_exporter.importing.scores import add_scores

LARGEST = 2**26  # numbers in the input of a graph; no image has more


@dataclass(frozen=True)
class OnnxFile:
    """An imported graph.

    Attributes:
        path: Path of the file.
        model: Graph as it came, with the outputs that are wanted. Weights may be in files beside `path`.
        canonical: Graph of the same computation for any number of images, ready for the passes.
        scores: Name of the output that was added last: the input of the Softmax at the end of the graph. If None,
            no output was added.
    """

    path: Path
    model: onnx.ModelProto
    canonical: ir.Model
    scores: str | None = None

    @property
    def rows(self) -> int:
        """Number of images that the file takes at a time; 1 if it does not say."""
        return self._sizes[0].dim_value or 1

    @property
    def channels_last(self) -> bool:
        """Whether the file takes images as [n, h, w, c]."""
        return spatial_axes([one.dim_value for one in self._sizes]) == (1, 2)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the file's input."""
        return onnx.helper.tensor_dtype_to_np_dtype(_input(self.model, self.path).type.tensor_type.elem_type)

    @property
    def _sizes(self) -> Sequence[onnx.TensorShapeProto.Dimension]:
        return _input(self.model, self.path).type.tensor_type.shape.dim


def read(path: Path, size: tuple[int, int] | None = None, output: str | None = None, scores: bool = False) -> OnnxFile:
    """Reads a file.

    Args:
        path: Path of the file. Weights may be in files beside it.
        size: Height and width of its images, where the file leaves them open.
        output: Name of the only output that is wanted. If None, all are.
        scores: Whether scores are wanted too, if a Softmax at the end turns them into probabilities.

    Raises:
        ExporterError: It is not an ONNX model, takes more than one tensor, or does not have this output.
    """
    with explained(path):
        model = _load(path)
        if not model.graph.output:
            raise ExporterError(f"{path} returns nothing; expected a score for each class")
        value = _input(model, path)
        _set_channels(model.graph, value)
        if size is not None:
            _set_size(value, size)
        _check_size(value)
        if output is not None:
            _keep_output(model, output, path)
        before_softmax = add_scores(model) if scores and len(model.graph.output) == 1 else None
        return OnnxFile(path, model, canonicalise(model, path), before_softmax)


def _load(path: Path) -> onnx.ModelProto:
    """Loads a model, sorts its nodes, and checks it. Weights in other files stay there."""
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ExporterError(f"{path} cannot be read: {error.strerror or error}") from error
    except DecodeError as error:
        raise ExporterError(f"{path} is not an ONNX model: {summary(error)}") from error
    other_files.check_weights(model, path)
    try:
        model = sort(model)
        other_files.check_structure(model)
    except (ValueError, onnx.checker.ValidationError) as error:
        raise ExporterError(f"{path} is not an ONNX model: {summary(error)}") from error
    for value in model.graph.input:
        for one in value.type.tensor_type.shape.dim:
            if one.HasField("dim_value") and one.dim_value < 1:  # as some tools write a free size
                one.ClearField("dim_value")
    return model


def _input(model: onnx.ModelProto, path: Path) -> onnx.ValueInfoProto:
    """Returns the only input. Raises ExporterError if there are several."""
    weights = {weight.name for weight in model.graph.initializer}  # which older files list as inputs too
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise ExporterError(f"{path} takes {len(inputs)} tensors ({names}); expected one, the images")
    return inputs[0]


def spatial_axes(shape: Sequence[object]) -> tuple[int, int] | None:
    """Returns the axes of height and width in [n, c, h, w] or [n, h, w, c], c being 1 or 3. If None, it is neither."""
    if len(shape) == 4 and shape[1] in (1, 3):
        return 2, 3
    return (1, 2) if len(shape) == 4 and shape[3] in (1, 3) else None


def _set_channels(graph: onnx.GraphProto, value: onnx.ValueInfoProto) -> None:
    """Sets the number of channels, where only the weights of the first convolution tell it."""
    sizes = value.type.tensor_type.shape.dim
    weights = {weight.name: weight for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] == value.name and node.input[1] in weights and len(sizes) == 4:
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


def _check_size(value: onnx.ValueInfoProto) -> None:
    sizes = value.type.tensor_type.shape.dim
    if math.prod(one.dim_value or 1 for one in sizes) > LARGEST:
        raise ExporterError(f"input {value.name} is {_text(sizes)}; expected at most {LARGEST:,} numbers")


def _text(sizes: Sequence[onnx.TensorShapeProto.Dimension]) -> str:
    return f"[{', '.join(str(one.dim_value or one.dim_param or '?') for one in sizes)}]"


def _keep_output(model: onnx.ModelProto, output: str, path: Path) -> None:
    known = [value for value in model.graph.output if value.name == output]
    if not known:
        names = ", ".join(value.name for value in model.graph.output)
        raise ExporterError(f"{path} has no output {output!r}; its outputs: {names}")
    del model.graph.output[:]
    model.graph.output.extend(known)
