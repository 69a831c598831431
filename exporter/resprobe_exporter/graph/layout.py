"""Finds which axis of a tensor holds the channels: [n, c, h, w] as ONNX's operators have it, or [n, h, w, c].

Graphs from Keras or TensorFlow may keep their additions in [n, h, w, c], with a Transpose around each Conv.
"""

import onnx_ir as ir

# Operators of ONNX whose second axis holds the channels. Others keep the layout of their inputs.
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


def channels_last(graph: ir.Graph, image_last: bool = False) -> set[ir.Value]:
    """Returns the values whose last axis holds the channels; for all others it is assumed to be the second.

    Args:
        graph: Graph with topologically sorted nodes.
        image_last: Whether the input of the graph is [n, h, w, c].
    """
    last = set(graph.inputs) if image_last else set()
    for node in graph:
        if node.op_type == "Transpose":
            axes = list(node.attributes.get_ints("perm", []))
            is_last = bool(axes) and axes[-1] == (len(axes) - 1 if node.inputs[0] in last else 1)
        else:
            is_last = node.op_type not in CHANNELS_SECOND and any(value in last for value in node.inputs)
        if is_last:
            last.update(node.outputs)
    return last


def image_sizes(value: ir.Value, last: set[ir.Value]) -> list[object]:
    """Returns channels, height and width as far as they are known. If empty, it is not an image or has no shape."""
    sizes: list[object] = [*value.shape][1:] if value.shape is not None and len(value.shape) == 4 else []
    return [sizes[2], *sizes[:2]] if sizes and value in last else sizes
