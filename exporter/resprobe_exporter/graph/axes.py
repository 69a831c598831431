"""Finds what the axes of a tensor are: which holds the channels, and so which are positions.

Convolutions have channels second, [n, c, h, w]; layer norms and linear layers have them last, [n, h, w, c] and
[n, t, c]. Graphs change between the two by a Transpose.
"""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from resprobe_exporter.graph.linear import Linear
from resprobe_exporter.nets.info import AxisKind

# Axes besides that of the channels, by their number.
POSITIONS: Mapping[int, Sequence[AxisKind]] = {
    0: (),
    1: ("tokens",),
    2: ("height", "width"),
    3: ("depth", "height", "width"),
}
# Operators of ONNX whose second axis holds the channels of an image.
CHANNELS_SECOND = frozenset(
    {
        "AveragePool",
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "GroupNormalization",
        "InstanceNormalization",
        "LRN",
        "MaxPool",
        "SpaceToDepth",
    }
)
CHANNELS_LAST = frozenset({"Gemm", "LayerNormalization", "MatMul"})  # with weights as the second input


def channel_axes(graph: ir.Graph, image_last: bool = False) -> Mapping[ir.Value, int]:
    """Returns which axis holds the channels, for values of a known rank.

    Args:
        graph: Graph with topologically sorted nodes.
        image_last: Whether the input of the graph is [n, h, w, c].
    """
    linear, found = Linear(graph), dict[ir.Value, int]()
    order = {value: position for position, node in enumerate(graph) for value in node.outputs}
    for value in graph.inputs:
        if value.shape is not None and len(value.shape) > 1:
            found[value] = len(value.shape) - 1 if image_last else 1
    for node in graph:
        before = sorted((one for one in linear.inputs(node) if one in found), key=lambda one: order.get(one, -1))
        for value in node.outputs:
            if value.shape is not None and len(value.shape) > 1:
                found[value] = _axis(node, len(value.shape), len(linear.inputs(node)) == 1, before, found)
    return found


def _axis(
    node: ir.Node, rank: int, is_weighted: bool, before: Sequence[ir.Value], found: Mapping[ir.Value, int]
) -> int:
    """Returns the axis of a node's outputs: that of the earliest of its inputs, which a block adds its branch to."""
    if node.op_type in CHANNELS_SECOND:
        return 1
    if not before or (node.op_type in CHANNELS_LAST and is_weighted):
        return rank - 1 if rank != 4 or node.op_type in CHANNELS_LAST else 1
    value = before[0]
    axis, rank_before = found[value], len(value.shape or ())
    if node.op_type == "Transpose":
        order = list(node.attributes.get_ints("perm", range(rank)[::-1]))
        return order.index(axis) if axis in order else rank - 1
    if rank_before == rank:
        return axis
    return rank - 1 if axis == rank_before - 1 else 1


def axes(value: ir.Value, channels: int) -> Sequence[AxisKind]:
    """Returns what the axes of a tensor after the first are, in their order; of more than five axes, none.

    Args:
        value: Tensor of a known rank.
        channels: Axis of its channels.
    """
    rank = len(value.shape or ())
    positions = list(POSITIONS.get(rank - 2, ()))
    if len(positions) != rank - 2:
        return ()
    return (*positions[: channels - 1], "channels", *positions[channels - 1 :])
