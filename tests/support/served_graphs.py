"""Models made elsewhere, node by node, in a repository."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

REAL, HALF, TEXT = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.STRING
UINT8, INT64 = TensorProto.UINT8, TensorProto.INT64
Tensors = Mapping[str, tuple[int, Sequence[Any]]]


def write(
    model: Path, nodes: Sequence[Any], inputs: Tensors, outputs: Tensors, number: int = 1, **constants: Any
) -> Path:
    """Writes a version.

    Args:
        model: Directory of the model.
        nodes: Nodes, made by `node`.
        inputs: Type and shape by name.
        outputs: Type and shape by name.
        number: Number of the version.
        constants: Values by name, for NumPy.

    Returns:
        The directory of the version.
    """
    taken, returned = (
        [helper.make_tensor_value_info(name, *info) for name, info in some.items()] for some in (inputs, outputs)
    )
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "foreign", taken, returned, values)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(made)
    directory = model / str(number)
    directory.mkdir(parents=True)
    save(made, directory / "model.onnx")
    return directory


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """A node, with the names of its tensors separated by blanks."""
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)
