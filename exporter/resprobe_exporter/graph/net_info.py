"""Depth, number of parameters and precision of a net, read off its graph."""

import onnx_ir as ir

from resprobe_exporter.graph.linear import QUANTISING, WEIGHTED, Linear

_FIRST_OTHER = {"BatchNormalization": 3, **dict.fromkeys(QUANTISING, 1)}  # the first input that is not a weight
TYPES = {ir.DataType.FLOAT16: "float16", ir.DataType.BFLOAT16: "bfloat16", ir.DataType.DOUBLE: "float64"}


def depth(graph: ir.Graph) -> int:
    """Counts the weighted layers on the longest path, as the 50 of "ResNet-50" does."""
    linear, longest = Linear(graph), dict[ir.Value, int]()
    for node in graph:
        before = max((longest.get(value, 0) for value in node.inputs if value is not None), default=0)
        weighs = node.op_type in WEIGHTED and len(linear.inputs(node)) == 1  # weights may be made in the graph
        longest.update(dict.fromkeys(node.outputs, before + weighs))
    return max((longest.get(value, 0) for value in graph.outputs), default=0)


def parameter_count(graph: ir.Graph) -> int:
    """Counts the numbers among the weights, quantised ones too.

    Means and variances of batch norms and scales and zero points of quantised tensors are not counted.
    """
    no_weights = {value for node in graph for value in node.inputs[_FIRST_OTHER.get(node.op_type, len(node.inputs)) :]}
    quantised = {node.inputs[0] for node in graph if node.op_type in QUANTISING}
    weights = [value for value in graph.initializers.values() if value.uses() and value not in no_weights]
    tensors = [(value.const_value, value in quantised) for value in weights]
    return sum(one.size for one, is_weight in tensors if one is not None and (is_weight or _is_floating(one)))


def precision(graph: ir.Graph) -> str:
    """Returns what the net computes with: int8 if tensors are quantised, else the type behind its weighted layers."""
    if any(node.op_type in QUANTISING for node in graph):
        return "int8"
    types = [value.dtype for node in graph if node.op_type in WEIGHTED for value in node.outputs]
    return next((TYPES[one] for one in types if one in TYPES), "float32")


def _is_floating(tensor: ir.TensorProtocol) -> bool:
    return tensor.dtype.is_floating_point()
