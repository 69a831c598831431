"""A Pad with zeros before a MaxPool counts, as ONNX says, in the server and in the exporter's checks.

ONNX Runtime 1.31 fuses the two so that the pool ignores the padding.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, save
from resprobe_exporter.verification.ort import Graph
from resprobe_server.execution.providers import Provider
from resprobe_server.execution.session import Session


def pooled(path: Path) -> Path:
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 4, 4])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1, 2, 2])
    around = helper.make_tensor("around", TensorProto.INT64, [8], [0, 0, 1, 1, 0, 0, 1, 1])
    nodes = [
        helper.make_node("Pad", ["x", "around"], ["padded"]),
        helper.make_node("MaxPool", ["padded"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
    ]
    graph = helper.make_graph(nodes, "g", [image], [output], [around])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_zeros_around_negative_values_are_the_largest(tmp_path: Path) -> None:
    path = pooled(tmp_path / "model.onnx")
    values = np.full((1, 1, 4, 4), -1, np.float32)
    expected = [[[[0, 0], [0, -1]]]]
    np.testing.assert_array_equal(Session(path, Provider(threads=1)).run({"x": values})["y"], expected)
    np.testing.assert_array_equal(Graph(path).run(values)["y"], expected)
