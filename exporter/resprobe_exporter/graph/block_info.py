"""Describes the blocks of a graph: their names, sizes and axes, and what shortcut and branch are made of.

A stage ends where the number of channels or of positions changes. In a stage blocks are counted from 0; an MLP that
follows an attention is the second half of its block, as in a transformer's layer.
"""

import math
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from resprobe_exporter.graph.axes import axes, channel_axes
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.utils import branch_shape
from resprobe_exporter.nets.info import AxisKind, BlockInfo, BranchKind, pooled_std

SAME_NUMBERS = frozenset({"Cast", "Identity", "Transpose"})


def describe_blocks(
    graph: ir.Graph, additions: Sequence[ResidualAddition], image_last: bool = False
) -> list[BlockInfo]:
    """Describes each block.

    Args:
        graph: Graph that has the additions.
        additions: Residual additions from input to output.
        image_last: Whether the input of the graph is [n, h, w, c].

    Raises:
        ir.passes.PreconditionError: The size of a branch is not known.
    """
    channels = channel_axes(graph, image_last)
    found: list[BlockInfo] = []
    for addition in additions:
        total = addition.node.outputs[0]
        shape = branch_shape(addition)
        kinds = axes(addition.branch, channels.get(total, channels.get(addition.shortcut, 1)))
        size = _size(shape, kinds)
        stage, index = _place(found[-1] if found else None, size, addition.branch_kind)
        found.append(
            BlockInfo(
                _name(stage, index, addition.branch_kind),
                stage,
                index,
                *size,
                _stride(addition.source, channels, size),
                addition.kind,
                _response_std(addition.branch),
                addition.branch_kind,
                tuple(kinds),
            )
        )
    return found


def _size(shape: Sequence[int], kinds: Sequence[AxisKind]) -> tuple[int, int, int]:
    """Returns channels, height and width, whose product is the number of values; tokens count as height."""
    sizes = dict(zip(kinds, shape, strict=True)) if kinds else {"channels": shape[0]}
    channels, width = sizes["channels"], sizes.get("width", 1)
    return channels, math.prod(shape) // (channels * width), width


def _place(before: BlockInfo | None, size: tuple[int, int, int], kind: BranchKind) -> tuple[int, int]:
    """Returns stage and index of the block after this one."""
    if before is None:
        return 1, 0
    channels, height, width = size
    if (before.channels, before.height * before.width) != (channels, height * width):
        return before.stage + 1, 0
    return before.stage, before.index + (0 if (before.branch, kind) == ("attention", "mlp") else 1)


def _name(stage: int, index: int, kind: BranchKind) -> str:
    return f"stage{stage}.block{index}" + ("" if kind == "conv" else f".{kind}")


def _stride(source: ir.Value, channels: Mapping[ir.Value, int], size: tuple[int, int, int]) -> int:
    """Returns the stride of a block from the height of its input and of its sum; 1 where there are no images."""
    shape, axis = source.shape, channels.get(source, 1)
    kinds = axes(source, axis) if shape is not None else ()
    height = shape[1 + kinds.index("height")] if shape is not None and "height" in kinds else None
    return max(1, round(height / size[1])) if isinstance(height, int) and size[2] > 1 else 1


def _response_std(branch: ir.Value) -> float | None:
    """Returns the closed form of a branch's standard deviation. If None, no batch norm ends the branch."""
    node = branch.producer()
    while node is not None and node.op_type in SAME_NUMBERS and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is None or node.op_type != "BatchNormalization":
        return None
    gamma, beta = (value.const_value if value is not None else None for value in node.inputs[1:3])
    return None if gamma is None or beta is None else pooled_std(gamma.numpy(), beta.numpy())
