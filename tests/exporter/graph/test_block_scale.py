"""Block scales reach the branches, whatever the graph computes in."""

import numpy as np
import onnx_ir as ir
from resprobe_exporter.graph.passes.block_scale import AddBlockScale
from resprobe_exporter.graph.passes.insert_identity_norm import UntieBranches

from tests.support.graph_builder import Builder, run


def test_a_float16_graph_takes_a_float32_scale() -> None:
    build = Builder()
    build.input.dtype = ir.DataType.FLOAT16
    branch = build.op("Mul", build.op("Relu", build.input), build.constant(np.full((4, 1, 1), 3, np.float16)))
    model = build.model(build.op("Add", branch, build.input))
    AddBlockScale()(model)
    UntieBranches()(model)
    images = np.full((3, 4, 6, 6), 2, np.float16)
    (total,) = run(model, x=images, block_scale=np.array([[0], [1], [0.5]], np.float32))
    assert total.dtype == np.float16
    assert total[:, 0, 0, 0].tolist() == [2, 8, 5]
