"""Frees the batch axis of a graph that was written for one batch size."""

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from resprobe_exporter.graph.parts import integers


class FreeBatch(ir.passes.InPlacePass):
    """Makes the first size of what the graph takes and returns free, and infers every other shape from that.

    A Reshape in which the batch size is written out copies it from its input instead.

    Requires: one input, whose first axis is the batch; weights and constants as initializers.
    Ensures: a graph that treats its rows alike takes any number of them. That it does is to be checked: no shape says
    so.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See the class."""
        graph = model.graph
        (taken,) = graph.inputs
        assert taken.shape is not None
        size = taken.shape[0]
        if isinstance(size, int):
            for node in graph:
                if node.op_type == "Reshape" and not node.attributes.get_int("allowzero", 0):
                    _copy_batch(graph, node, size)
            taken.shape = ir.Shape(["n", *list(taken.shape)[1:]])
        for node in graph:
            for value in node.outputs:
                value.shape = None
        common_passes.ShapeInferencePass(check_type=False, strict_mode=False)(model)
        return ir.passes.PassResult(model, True)


def _copy_batch(graph: ir.Graph, node: ir.Node, size: int) -> None:
    sizes = integers(node.inputs[1])
    if sizes and sizes[0] == size:
        shape = np.array([0, *sizes[1:]])
        copied = ir.Value(name=f"{node.outputs[0].name}/shape", const_value=ir.tensor(shape))
        copied.shape, copied.dtype = ir.Shape(shape.shape), ir.DataType.INT64
        graph.register_initializer(copied)
        node.replace_input_with(1, copied)
