"""What is known of a net: how deep it is, how large, and what its blocks are. Of somebody's net its graph says it."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from resprobe_exporter.graph.parts import branch_shape
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.resnet import BlockInfo, ResNet, pooled_std

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Facts:
    """What is said of a net.

    Attributes:
        family: resnet, plain, preact, or the source's own.
        depth: Weighted layers.
        parameter_count: Trainable parameters.
        image: Height, width and channels of what it takes; None: it takes no images of bytes.
        blocks: From input to output.
    """

    family: str
    depth: int
    parameter_count: int
    image: tuple[int, int, int] | None
    blocks: Sequence[BlockInfo]


def of_net(net: ResNet) -> Facts:
    """Of a net that was built here."""
    shape = net.architecture
    image = shape.height, shape.width, shape.channels
    return Facts(shape.family, shape.depth, net.parameter_count, image, net.blocks)


def depth(graph: ir.Graph) -> int:
    """Weighted layers on the longest path, which is what "ResNet-50" counts."""
    longest: dict[ir.Value, int] = {}
    for node in graph:
        before = max((longest.get(value, 0) for value in node.inputs if value is not None), default=0)
        weighs = node.op_type in WEIGHTED and any(value is not None and value.is_initializer() for value in node.inputs)
        longest.update(dict.fromkeys(node.outputs, before + weighs))
    return max((longest.get(value, 0) for value in graph.outputs), default=0)


def parameter_count(graph: ir.Graph) -> int:
    """Numbers among the weights, without the means and variances of batch norms; folded ones are not counted again."""
    norms = [node for node in graph if node.op_type == "BatchNormalization"]
    measured = {value for node in norms for value in node.inputs[3:5]}
    weights = [value for value in graph.initializers.values() if value.uses() and value not in measured]
    tensors = [value.const_value for value in weights if value.const_value is not None]
    return sum(tensor.size for tensor in tensors if tensor.dtype.is_floating_point())


def blocks(additions: Sequence[ResidualAddition]) -> list[BlockInfo]:
    """What is known of each block. A stage ends where the size of the sum changes.

    Raises:
        ir.passes.PreconditionError: The size of one is not known.
    """
    shapes = [branch_shape(addition) for addition in additions]
    found: list[BlockInfo] = []
    stage, index = 1, 0
    for position, (addition, shape) in enumerate(zip(additions, shapes, strict=True)):
        if position and shape != shapes[position - 1]:
            stage, index = stage + 1, 0
        name = f"stage{stage}.block{index}"
        std = _response_std(addition.branch)
        found.append(BlockInfo(name, stage, index, *shape, _stride(addition), addition.kind, std))
        index += 1
    return found


def _stride(addition: ResidualAddition) -> int:
    source, (_, height, _) = addition.source.shape, branch_shape(addition)
    before = source[2] if source is not None and len(source) == 4 else None
    return round(before / height) if isinstance(before, int) else 1


def _response_std(branch: ir.Value) -> float | None:
    """See BlockInfo; None where no batch norm is left at the end of the branch."""
    node = branch.producer()
    if node is None or node.op_type != "BatchNormalization":
        return None
    gamma, beta = (value.const_value if value is not None else None for value in node.inputs[1:3])
    return None if gamma is None or beta is None else pooled_std(gamma.numpy(), beta.numpy())
