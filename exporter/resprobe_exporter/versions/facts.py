"""What is known of a net: how deep it is, how large, and what its blocks are. For an imported net its graph says so."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from resprobe_exporter.graph.layout import channels_last, image_sizes
from resprobe_exporter.graph.linear import QUANTISING, WEIGHTED, Linear
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.utils import branch_shape
from resprobe_exporter.nets.resnet import BlockInfo, ResNet, pooled_std

_FIRST_OTHER = {"BatchNormalization": 3, **dict.fromkeys(QUANTISING, 1)}  # the first input that is no weight
SAME_NUMBERS = frozenset({"Cast", "Identity", "Transpose"})


@dataclass(frozen=True)
class Facts:
    """What is said of a net.

    Attributes:
        family: resnet, plain, preact, or the source's own.
        depth: Weighted layers.
        parameter_count: Trainable parameters.
        image: Height, width and channels of what it takes. If None, it takes no images of bytes.
        blocks: From input to output.
    """

    family: str
    depth: int
    parameter_count: int
    image: tuple[int, int, int] | None
    blocks: Sequence[BlockInfo]


def of_net(net: ResNet) -> Facts:
    """Returns the facts of a net that was built here."""
    shape = net.architecture
    image = shape.height, shape.width, shape.channels
    return Facts(shape.family, shape.depth, net.parameter_count, image, net.blocks)


def depth(graph: ir.Graph) -> int:
    """Weighted layers on the longest path, which is what "ResNet-50" counts."""
    linear, longest = Linear(graph), dict[ir.Value, int]()
    for node in graph:
        before = max((longest.get(value, 0) for value in node.inputs if value is not None), default=0)
        weighs = node.op_type in WEIGHTED and len(linear.inputs(node)) == 1  # weights may be made in the graph
        longest.update(dict.fromkeys(node.outputs, before + weighs))
    return max((longest.get(value, 0) for value in graph.outputs), default=0)


def parameter_count(graph: ir.Graph) -> int:
    """Numbers among the weights, quantised ones too.

    Means and variances of batch norms, and scales and zero points of quantised tensors, are none; weights that are
    folded into others are not counted again.
    """
    no_weights = {value for node in graph for value in node.inputs[_FIRST_OTHER.get(node.op_type, len(node.inputs)) :]}
    quantised = {node.inputs[0] for node in graph if node.op_type in QUANTISING}
    weights = [value for value in graph.initializers.values() if value.uses() and value not in no_weights]
    tensors = [(value.const_value, value in quantised) for value in weights]
    return sum(one.size for one, is_weight in tensors if one is not None and (is_weight or _is_floating(one)))


def _is_floating(tensor: ir.TensorProtocol) -> bool:
    return tensor.dtype.is_floating_point()


def blocks(graph: ir.Graph, additions: Sequence[ResidualAddition], image_last: bool = False) -> list[BlockInfo]:
    """What is known of each block. A stage ends where the size of the sum changes.

    Args:
        graph: The additions' own.
        additions: From input to output.
        image_last: Whether what the graph takes is [n, h, w, c].

    Raises:
        ir.passes.PreconditionError: The size of one is not known.
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
    """Returns the stride of a block that makes images of this height from ones of these channels, height and width."""
    return round(source[1] / height) if source and isinstance(source[1], int) else 1


def _response_std(branch: ir.Value) -> float | None:
    """Returns the standard deviation of a block's response. None where no batch norm ends the branch."""
    node = branch.producer()
    while node is not None and node.op_type in SAME_NUMBERS and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is None or node.op_type != "BatchNormalization":
        return None
    gamma, beta = (value.const_value if value is not None else None for value in node.inputs[1:3])
    return None if gamma is None or beta is None else pooled_std(gamma.numpy(), beta.numpy())
