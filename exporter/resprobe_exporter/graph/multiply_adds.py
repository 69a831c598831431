"""Counts the multiply-adds of a graph for one image: the FLOPs of He et al. 2015, Table 1.

Convolutions and matrix products count, as there; additions, norms, activations and pools do not. Table 1 is of
bottlenecks with their stride in the first 1×1 layer, and cuts the 3.86 ×10⁹ of 50 layers to 3.8.
"""

import math
from collections.abc import Collection, Sequence

import onnx_ir as ir

from resprobe_exporter.graph.linear import Linear

CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "QLinearConv"})
PRODUCTS = frozenset({"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"})
UNCOUNTED = frozenset({"ConvTranspose", "Einsum", "If", "Loop", "Scan"})
WEIGHT = {"QLinearConv": 3, "QLinearMatMul": 3}  # place among the inputs; 1 for others


def multiply_adds(graph: ir.Graph, selecting: Collection[str] = ()) -> int | None:
    """Counts the multiply-adds of convolutions and matrix products for one image.

    Args:
        graph: Graph whose input and values have shapes, with the batch axis first.
        selecting: Names of values that convolutions of zeros and ones select, which costs nothing elsewhere: the
            shortcuts of option A.

    Returns:
        The number. If None, the shape of a value is not known or not a row for each image, or the graph has a layer
        that is not counted.
    """
    linear, total = Linear(graph), 0
    shape = graph.inputs[0].shape
    batch = shape[0] if shape else None
    for node in graph:
        if not linear.inputs(node) or node.outputs[0].name in selecting:
            continue
        if node.op_type in UNCOUNTED:
            return None
        if node.op_type in CONVOLUTIONS | PRODUCTS:
            values, added = _row(node.outputs[0], batch), _added(node)
            if values is None or added is None:
                return None
            total += values * added
    return total


def _row(value: ir.Value, batch: object) -> int | None:
    """Returns the number of values for one image. If None, it is not known."""
    shape = value.shape
    return math.prod(rest) if shape and shape[0] == batch and (rest := _known(shape[1:])) is not None else None


def _added(node: ir.Node) -> int | None:
    """Returns how many products each value that a layer returns adds up. If None, the weights have no known shape."""
    weight = node.inputs[WEIGHT.get(node.op_type, 1)]
    if weight is None or weight.shape is None or len(weight.shape) < 2:
        return None
    if node.op_type in CONVOLUTIONS:
        sizes = _known(weight.shape[1:])  # channels of a group, height and width
    else:
        axis = len(weight.shape) - (1 if node.attributes.get_int("transB", 0) else 2)
        sizes = _known(weight.shape[axis : axis + 1])
    return None if sizes is None else math.prod(sizes)


def _known(sizes: Sequence[object]) -> list[int] | None:
    """Returns sizes as numbers. If None, one is not known."""
    found = [size for size in sizes if isinstance(size, int)]
    return found if len(found) == len(sizes) else None
