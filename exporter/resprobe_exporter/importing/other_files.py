"""Weights that an ONNX file keeps in other files: they stay there, since no message of protobuf holds over 2 GB.

They are checked, and read when a graph is written or run.
"""

from pathlib import Path

import onnx
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from resprobe_exporter.errors import ExporterError, one_line


def check_weights(model: onnx.ModelProto, path: Path) -> None:
    """Checks the weights that are in other files, one at a time. Constants of nodes and of subgraphs are loaded.

    Args:
        model: Model without its external data.
        path: Path of its file, beside which the other files are.

    Raises:
        ExporterError: A file is missing, too short, or not where ONNX allows it to be.
    """
    kept = _external(model)
    inside = [weight for weight in model.graph.initializer if not uses_external_data(weight)]
    try:
        for weight in kept:
            read = onnx.TensorProto()
            read.CopyFrom(weight)
            load_external_data_for_tensor(read, str(path.parent))
        del model.graph.initializer[:]
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ExporterError(
            f"the weights of {path}, which are in other files, cannot be read: {one_line(error)}"
        ) from error
    model.graph.initializer.extend([*inside, *kept])


def check_structure(model: onnx.ModelProto) -> None:
    """Checks a model with sorted nodes, but not its weights in other files.

    Raises:
        onnx.checker.ValidationError: It breaks a rule of ONNX.
    """
    external = _external(model)
    if not external:
        onnx.checker.check_model(model)
        return
    skeleton = onnx.ModelProto()
    skeleton.CopyFrom(model)
    del skeleton.graph.initializer[:]
    skeleton.graph.initializer.extend(weight for weight in model.graph.initializer if not uses_external_data(weight))
    inputs = {value.name for value in skeleton.graph.input}
    skeleton.graph.input.extend(
        onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
        for weight in external
        if weight.name not in inputs
    )
    onnx.checker.check_model(skeleton)


def with_weights(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Returns a model with all weights in its message, for tools that need that."""
    if not _external(model):
        return model
    loaded = onnx.ModelProto()
    loaded.CopyFrom(model)
    onnx.load_external_data_for_model(loaded, str(path.parent))
    return loaded


def _external(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    found = []
    for weight in model.graph.initializer:
        if uses_external_data(weight):
            copy = onnx.TensorProto()  # it outlives its place in the model
            copy.CopyFrom(weight)
            found.append(copy)
    return found
