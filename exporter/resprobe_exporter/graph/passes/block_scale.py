"""Adds an input that scales or removes the branch of any block, image by image.

What decides the cost on ONNX Runtime's CPU kernels (figures: benchmarks/README.md): a product with a factor of shape
[n, 1, 1, 1] leaves the blocked layout, and the rest of the net with it. A product of two tensors of one shape does
not. So a factor of an image is expanded to a plane, and a convolution with ones makes the plane as deep as the branch.
Quantised tensors are not in the blocked layout, and need neither.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from resprobe_protos.contract import BLOCK_SCALE

from resprobe_exporter.graph.quantised import is_quantised
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.utils import (
    additions_to_tap,
    branch_dtype,
    branch_shape,
    constant,
    is_image,
    replace_operand,
)


class AddBlockScale(ir.passes.InPlacePass):
    """Adds the input `block_scale`, float32 [n, L]: each block adds block_scale · F(x) to its shortcut.

    1 leaves a block as it is, 0 removes it (Veit et al. 2016, arXiv 1605.06431, §4.1); any other factor scales it.
    Block statistics that were added before are of the branch before it is scaled.

    Requires: the requirements of AddBlockStatistics.
    Ensures: if all factors are 1, the outputs are unchanged.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        graph = model.graph
        additions = additions_to_tap(graph)
        for index, (addition, factor) in enumerate(zip(additions, _factors(graph, len(additions)), strict=True)):
            _scale(graph, addition, factor, f"{BLOCK_SCALE}/{index}")
        return ir.passes.PassResult(model, True)


def _factors(graph: ir.Graph, blocks: int) -> Sequence[ir.Value]:
    """Adds the input and returns its columns, each [n, 1, 1, 1]."""
    batch = graph.inputs[0].shape[0] if graph.inputs[0].shape is not None else None
    scale = ir.Value(name=BLOCK_SCALE, shape=ir.Shape([batch, blocks]), type=ir.TensorType(ir.DataType.FLOAT))
    graph.inputs.append(scale)
    tape = ir.tape.Tape()
    image_axes = constant(graph, f"{BLOCK_SCALE}/axes", np.array([2, 3]))
    columns = tape.op("Unsqueeze", [scale, image_axes])
    factors = tape.op_multi_out("Split", [columns], {"axis": 1, "num_outputs": blocks}, num_outputs=blocks)
    graph.insert_before(graph[0], tape.nodes)
    return factors


def _scale(graph: ir.Graph, addition: ResidualAddition, factor: ir.Value, name: str) -> None:
    shape, dtype = branch_shape(addition), branch_dtype(addition)
    tape = ir.tape.Tape()
    if dtype != ir.DataType.FLOAT:
        factor = tape.op("Cast", [factor], {"to": dtype})
    if not is_image(addition):
        row = constant(graph, f"{BLOCK_SCALE}/row{len(shape)}", np.array([-1] + [1] * len(shape)))
        factor = tape.op("Reshape", [factor, row])
    elif not is_quantised(addition.branch):
        factor = _expand(graph, tape, factor, shape, dtype)
    scaled = tape.op("Mul", [addition.branch, factor], name=name)
    graph.insert_before(addition.node, tape.nodes)
    replace_operand(addition, addition.branch, scaled)


def _expand(
    graph: ir.Graph, tape: ir.tape.Tape, factor: ir.Value, shape: Sequence[int], dtype: ir.DataType
) -> ir.Value:
    """Creates a tensor of an image's shape that is full of its factor."""
    channels, height, width = shape
    plane = tape.op(
        "Expand", [factor, constant(graph, f"{BLOCK_SCALE}/{height}×{width}", np.array([1, 1, height, width]))]
    )
    ones = constant(graph, f"{BLOCK_SCALE}/ones{channels}/{dtype}", np.ones((channels, 1, 1, 1), dtype.numpy()))
    return tape.op("Conv", [plane, ones], {"kernel_shape": [1, 1]})
