"""Finds the residual additions of a graph: y = F(x) + s(x) (He et al. 2015, eq. 1 and 2).

A residual addition is an Add of two computed tensors with a common ancestor x: one operand, the shortcut, comes from
x directly or through operators without a non-linearity; the other, the branch, comes on a longer path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Literal

import onnx_ir as ir

# Without a non-linearity, and with one computed input: a shortcut may go through these.
LINEAR = frozenset(
    {
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Concat",
        "Conv",
        "Dropout",
        "GlobalAveragePool",
        "Identity",
        "Mul",
        "Pad",
        "Reshape",
        "Slice",
        "Transpose",
    }
)
ShortcutKind = Literal["identity", "pad", "projection"]


@dataclass(frozen=True)
class ResidualAddition:
    """One residual addition.

    Attributes:
        node: The Add.
        branch: F(x), an operand of the Add.
        shortcut: s(x), its other operand.
        kind: What s does: nothing, pad or subsample, or convolve.
        source: x, the common ancestor.
    """

    node: ir.Node
    branch: ir.Value
    shortcut: ir.Value
    kind: ShortcutKind
    source: ir.Value


def find(graph: ir.Graph) -> Iterator[ResidualAddition]:
    """The residual additions of images, [n, c, h, w], in the order of the graph.

    Args:
        graph: Topologically sorted.

    Each search stays between the addition and its x, so the whole is linear in the number of nodes for blocks in a
    row.
    """
    order = {node: position for position, node in enumerate(graph)}
    for node, left, right in sums(graph):
        addition = _as_residual(node, left, right, order)
        if addition is not None and _of_images(addition.branch):
            yield addition


def sums(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.Value, ir.Value]]:
    """Every addition of two computed tensors, and these two, in the order of the graph."""
    for node in graph:
        if node.op_type == "Add" and node.domain == "":
            left, right = node.inputs
            if left is not None and right is not None and _computed(left) and _computed(right):
                yield node, left, right


def _as_residual(
    node: ir.Node, left: ir.Value, right: ir.Value, order: Mapping[ir.Node, int]
) -> ResidualAddition | None:
    # Where both paths are linear down to the same x, the shorter one is the shortcut.
    for shortcut, branch in sorted(((right, left), (left, right)), key=lambda pair: len(linear_path(pair[0]))):
        path = linear_path(shortcut)
        ancestors = _ancestors(branch, order, oldest=path[-1])
        for length, source in enumerate(path):
            if source in ancestors:
                return ResidualAddition(node, branch, shortcut, _kind(path[:length]), source)
    return None


def linear_path(value: ir.Value) -> list[ir.Value]:
    """The value and its ancestors through linear operators, down to the first that comes from something else."""
    path = [value]
    while (node := path[-1].producer()) is not None and node.op_type in LINEAR:
        computed = [operand for operand in node.inputs if operand is not None and _computed(operand)]
        if len(computed) != 1:
            break
        path.append(computed[0])
    return path


def _ancestors(value: ir.Value, order: Mapping[ir.Node, int], oldest: ir.Value) -> set[ir.Value]:
    """All that the value is computed from, as far back as `oldest`; without the value itself."""
    limit = _position(oldest, order)
    found: set[ir.Value] = set()
    waiting: list[int] = []
    nodes: dict[int, ir.Node] = {}

    def visit(one: ir.Value) -> None:
        node = one.producer()
        if node is not None and order[node] > limit and order[node] not in nodes:
            nodes[order[node]] = node
            heappush(waiting, -order[node])

    visit(value)
    while waiting:
        for operand in nodes[-heappop(waiting)].inputs:
            if operand is not None and operand not in found:
                found.add(operand)
                visit(operand)
    return found


def _of_images(value: ir.Value) -> bool:
    """Whether it may be [n, c, h, w]."""
    return value.shape is None or len(value.shape) == 4


def _position(value: ir.Value, order: Mapping[ir.Node, int]) -> int:
    node = value.producer()
    return -1 if node is None else order[node]


def _computed(value: ir.Value) -> bool:
    """Whether it depends on the graph's inputs (weights and constants do not)."""
    node = value.producer()
    return value.is_graph_input() if node is None else node.op_type != "Constant"


def _kind(path: list[ir.Value]) -> ShortcutKind:
    """What the operators on the shortcut's path do, without x itself."""
    types = {node.op_type for value in path if (node := value.producer()) is not None}
    if "Conv" in types:
        return "projection"
    return "pad" if types else "identity"
