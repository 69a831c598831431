"""Frees the batch axis of a graph that was written for one batch size."""

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from resprobe_exporter.graph.utils import constant, integers, only_input

PRIME = 7919  # a batch size that no other size is a multiple of, so that it is recognised in every shape


class FreeBatch(ir.passes.InPlacePass):
    """Frees the first size of the graph's input, and infers every other shape from that.

    A Reshape with a written batch size is made to copy the size from its input, and so is a Reshape that infers the
    batch size (-1) from the other sizes, so that shapes say that rows stay rows.

    Requires: one input, whose first axis is the batch; weights and constants as initializers.
    Ensures: a graph that treats its rows alike takes any number of them. Whether it does must be checked by running
    it: shapes do not say so.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        graph = model.graph
        size, *sizes = only_input(graph)[1]
        reshapes = [node for node in graph if node.op_type == "Reshape" and not node.attributes.get_int("allowzero", 0)]
        for node in reshapes:
            if isinstance(size, int) and _first(node) == size:
                _copy_batch(graph, node)
        _infer(model, [PRIME, *sizes])
        for node in reshapes:
            if _first(node) == -1 and all(_is_batch(value) for value in (node.inputs[0], node.outputs[0])):
                _copy_batch(graph, node)
        batch = ir.SymbolicDim("n") if isinstance(size, int) or size.value is None else size
        _infer(model, [batch, *sizes])
        return ir.passes.PassResult(model, True)


def _infer(model: ir.Model, sizes: list[int | ir.SymbolicDim]) -> None:
    """Infers all shapes from the shape of the input."""
    model.graph.inputs[0].shape = ir.Shape(sizes)
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    common_passes.ShapeInferencePass(check_type=False, strict_mode=False)(model)


def _first(node: ir.Node) -> int | None:
    """Returns the first size of a Reshape. If None, its sizes are not a constant."""
    sizes = integers(node.inputs[1])
    return sizes[0] if sizes else None


def _is_batch(value: ir.Value | None) -> bool:
    return value is not None and value.shape is not None and len(value.shape) > 0 and value.shape[0] == PRIME


def _copy_batch(graph: ir.Graph, node: ir.Node) -> None:
    shape = np.array([0, *(integers(node.inputs[1]) or [])[1:]])
    name = f"{node.outputs[0].name}/shape"
    while name in graph.initializers:
        name += "'"
    node.replace_input_with(1, constant(graph, name, shape))
