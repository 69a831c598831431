"""Where the channels of a graph's images stand: [n, c, h, w] as ONNX's operators have them, or [n, h, w, c].

Graphs that come from Keras or TensorFlow may keep their additions in [n, h, w, c], with a Transpose around each Conv.
"""

import onnx_ir as ir

# Operators of ONNX that know which axis holds channels: the second. Others pass on what they get.
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
    """The values whose last axis is that of the channels; where nothing says so, it is the second.

    Args:
        graph: Topologically sorted.
        image_last: Whether what the graph takes is [n, h, w, c].
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
    """Channels, height and width as far as they are known; empty: it is no image, or nothing is known."""
    sizes: list[object] = [*value.shape][1:] if value.shape is not None and len(value.shape) == 4 else []
    return [sizes[2], *sizes[:2]] if sizes and value in last else sizes
