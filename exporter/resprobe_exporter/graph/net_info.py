"""Depth, number of parameters, precision and blocks of a net, read off its graph."""

from collections.abc import Sequence

import onnx_ir as ir

from resprobe_exporter.graph.layout import channels_last, image_sizes
from resprobe_exporter.graph.linear import QUANTISING, WEIGHTED, Linear
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.utils import branch_shape
from resprobe_exporter.nets.info import BlockInfo, pooled_std

_FIRST_OTHER = {"BatchNormalization": 3, **dict.fromkeys(QUANTISING, 1)}  # the first input that is not a weight
TYPES = {ir.DataType.FLOAT16: "float16", ir.DataType.BFLOAT16: "bfloat16", ir.DataType.DOUBLE: "float64"}
SAME_NUMBERS = frozenset({"Cast", "Identity", "Transpose"})


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


def describe_blocks(
    graph: ir.Graph, additions: Sequence[ResidualAddition], image_last: bool = False
) -> list[BlockInfo]:
    """Describes each block. A stage ends where the size of the sum changes.

    Args:
        graph: Graph that has the additions.
        additions: Residual additions from input to output.
        image_last: Whether the input of the graph is [n, h, w, c].

    Raises:
        ir.passes.PreconditionError: The size of a branch is not known.
    """
    last = channels_last(graph, image_last)
    found: list[BlockInfo] = []
    stage, index, before = 1, 0, None
    for addition in additions:
        channels, height, width = branch_shape(addition)
        if addition.node.outputs[0] in last:
            channels, height, width = width, channels, height
        if before not in (None, (channels, height, width)):
            stage, index = stage + 1, 0
        before = channels, height, width
        stride, std = _stride(image_sizes(addition.source, last), height), _response_std(addition.branch)
        name = f"stage{stage}.block{index}"
        found.append(BlockInfo(name, stage, index, *before, stride, addition.kind, std))
        index += 1
    return found


def _stride(source: Sequence[object], height: int) -> int:
    """Returns the stride of a block with this output height, from channels, height and width of its input."""
    return round(source[1] / height) if source and isinstance(source[1], int) else 1


def _response_std(branch: ir.Value) -> float | None:
    """Returns the closed form of a branch's standard deviation. If None, no batch norm ends the branch."""
    node = branch.producer()
    while node is not None and node.op_type in SAME_NUMBERS and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is None or node.op_type != "BatchNormalization":
        return None
    gamma, beta = (value.const_value if value is not None else None for value in node.inputs[1:3])
    return None if gamma is None or beta is None else pooled_std(gamma.numpy(), beta.numpy())
