"""Regions of a graph that quantisation treats in their own way: what comes before the weights, blocks, additions."""

from collections.abc import Sequence

import onnx_ir as ir

from resprobe_exporter.graph.linear import WEIGHTED, Linear
from resprobe_exporter.graph.quantised import codes
from resprobe_exporter.graph.residual import ResidualAddition, find
from resprobe_exporter.graph.utils import replace_operand


def name_nodes(graph: ir.Graph) -> None:
    """Gives every node a name of its own: quantisation is told by names what to leave out."""
    used: set[str] = set()
    for index, node in enumerate(graph):
        name = node.name or f"node_{index}"
        node.name = name if name not in used else f"{name}_{index}"
        used.add(node.name)


def before_weights(graph: ir.Graph) -> list[str]:
    """Returns the names of the nodes that no weighted layer comes before: those of the normalisation."""
    behind: set[ir.Value] = set()
    found = []
    for node in graph:
        if node.op_type in WEIGHTED or any(value in behind for value in node.inputs):
            behind.update(node.outputs)
        else:
            found.append(str(node.name))
    return found


def block_nodes(graph: ir.Graph, index: int) -> list[str]:
    """Returns the names of the nodes of a block: its branch, its shortcut and its addition.

    Args:
        graph: Topologically sorted.
        index: Place of the block among the residual additions.
    """
    addition = list(find(graph))[index]
    linear = Linear(graph)
    nodes: dict[ir.Node, None] = {addition.node: None}
    waiting = [addition.branch, *addition.path]
    while waiting:
        node = waiting.pop().producer()
        if node is not None and node not in nodes:
            nodes[node] = None
            waiting += [value for value in linear.inputs(node) if value is not addition.source]
    source = addition.source.producer()
    return [str(node.name) for node in nodes if node is not source]


def quantise_shortcuts_only(graph: ir.Graph) -> None:
    """Leaves a branch in float up to the ReLU behind its addition, as TensorRT fuses convolution, addition and ReLU."""
    additions: Sequence[ResidualAddition] = list(find(graph))
    for addition in additions:
        if (before := _before_codes(addition.branch)) is not None:
            replace_operand(addition, addition.branch, before)
    for node in [node for node in graph if node.op_type == "Relu"]:
        value = node.inputs[0]
        if value is not None and (before := _before_codes(value)) is not None:
            node.replace_input_with(0, before)


def _before_codes(value: ir.Value) -> ir.Value | None:
    """Returns the float tensor that a dequantised one was made of. If None, the value is not dequantised."""
    found = codes(value)
    node = None if found is None else found.tensor.producer()
    return node.inputs[0] if node is not None and node.op_type == "QuantizeLinear" else None
