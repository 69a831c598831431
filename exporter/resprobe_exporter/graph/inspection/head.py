"""Finds the head of a net: what it computes of the sum of its last block, and whether that is a mean and a matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir
from resprobe_protos.contract import LOGITS

from resprobe_exporter.graph.linear import Linear, has_body
from resprobe_exporter.graph.utils import integers

SAME = frozenset({"Cast", "Identity"})
# What may stand between the mean over positions and the last layer: operators that change no number but by rounding.
FLAT = frozenset({"Dropout", "Flatten", "QuantizeLinear", "DequantizeLinear", "Reshape", "Squeeze", *SAME})
SPATIAL = [2, 3]


@dataclass(frozen=True)
class Pooled:
    """Last layer of a net whose features are means over positions.

    Attributes:
        features: Value that the means are of, [n, channels, height, width].
        weights: Weights of the layer.
        transposed: Whether they are [classes, channels]. If not, [channels, classes].
    """

    features: ir.Value
    weights: ir.Value
    transposed: bool


def logits_of(graph: ir.Graph) -> ir.Value | None:
    """Returns the output with the scores of classes. If None, there is none, as in a graph that takes tensors."""
    return next((one for one in graph.outputs if one.name == LOGITS and one.producer() is not None), None)


def nodes_after(graph: ir.Graph, start: ir.Value) -> Sequence[ir.Node] | None:
    """Returns the nodes that compute the logits of a value, in their order.

    If None, the logits are computed of other values too, or not of this one.
    """
    logits = logits_of(graph)
    if logits is None:
        return None
    linear, needed, found = Linear(graph), {logits}, list[ir.Node]()
    for node in reversed(list(graph)):
        if needed.isdisjoint(node.outputs):
            continue
        inputs = [one for one in linear.inputs(node) if one is not start]
        if not linear.inputs(node):
            continue  # sizes and weights, which copies of the head may share
        found.append(node)
        needed.update(inputs)
    made = {value for node in found for value in node.outputs}
    stray = any(one is not start and one not in made for node in found for one in linear.inputs(node))
    return None if stray or any(has_body(node) for node in found) else found[::-1]


def pooled(graph: ir.Graph) -> Pooled | None:
    """Finds the last layer of a net that ends in a mean over positions and a linear layer. If None, it does not."""
    linear, value = Linear(graph), logits_of(graph)
    node = _before(value, linear, SAME | {"Add"})
    if node is None or node.op_type not in ("Gemm", "MatMul") or linear.inputs(node) != [node.inputs[0]]:
        return None
    weights = node.inputs[1]
    if weights is None or node.attributes.get_int("transA", 0) == 1 or node.attributes.get_float("alpha", 1.0) != 1.0:
        return None
    pool = _before(node.inputs[0], linear, FLAT)
    features = pool.inputs[0] if pool is not None and _is_mean(pool) else None
    shape = None if features is None else features.shape
    flat = None if node.inputs[0] is None else node.inputs[0].shape
    if features is None or shape is None or len(shape) != 4 or flat is None or list(flat)[1:] != [shape[1]]:
        return None
    return Pooled(features, weights, node.attributes.get_int("transB", 0) == 1)


def _before(value: ir.Value | None, linear: Linear, passed: frozenset[str]) -> ir.Node | None:
    """Returns the node that made a value, or the first before it that is none of some operators."""
    node = None if value is None else value.producer()
    while node is not None and node.op_type in passed:
        inputs = linear.inputs(node)
        node = inputs[0].producer() if len(inputs) == 1 else None
    return node


def _is_mean(node: ir.Node) -> bool:
    """Returns whether a node computes the mean over the positions of an image with channels second."""
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type != "ReduceMean" or node.inputs[0] is None:
        return False
    listed = node.attributes.get_ints("axes", ()) or (integers(node.inputs[1]) if len(node.inputs) > 1 else None)
    return listed is not None and sorted(axis % 4 for axis in listed) == SPATIAL
