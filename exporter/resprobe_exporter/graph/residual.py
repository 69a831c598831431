"""Finds the residual additions of a graph: y = F(x) + s(x) (He et al. 2015, eq. 1 and 2).

An Add is a residual addition if all of these hold; `linear.py` defines what is computed and has the operators:

1. Both operands are computed; otherwise it adds a bias.
2. Both have the same shape of four axes, [n, c, h, w] or [n, h, w, c]: neither is broadcast.
3. One operand, the shortcut s(x), is a value x or is made of x by linear operators.
4. The other, the branch F(x), is computed from the same x by a layer with weights, among others: x + 0.04 · x³ is
   part of GELU. If both operands could be the shortcut, the branch is the one with more linear operators before it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import onnx_ir as ir

from resprobe_exporter.graph.linear import Linear
from resprobe_exporter.nets.info import ShortcutKind


@dataclass(frozen=True)
class ResidualAddition:
    """One residual addition.

    Attributes:
        node: Add node.
        branch: Operand F(x).
        shortcut: Operand s(x).
        kind: What s does: nothing, pad or subsample, or convolve.
        source: Common ancestor x.
        path: Values from the shortcut back to x, without x; empty if the shortcut is x.
    """

    node: ir.Node
    branch: ir.Value
    shortcut: ir.Value
    kind: ShortcutKind
    source: ir.Value
    path: Sequence[ir.Value]


@dataclass(frozen=True)
class OtherAddition:
    """An addition of computed tensors that is not a residual addition, and why."""

    node: ir.Node
    reason: str


def find(graph: ir.Graph) -> Iterator[ResidualAddition]:
    """Finds the residual additions, in the order of the graph, which must be topologically sorted."""
    return (one for one in examine_additions(graph) if isinstance(one, ResidualAddition))


def examine_additions(graph: ir.Graph) -> Iterator[ResidualAddition | OtherAddition]:
    """Examines every addition of computed tensors, in the order of the graph, which must be topologically sorted.

    Each search stays between the addition and its x, so for blocks in a row the time is linear in the number of nodes.
    """
    linear = Linear(graph)
    order = {node: position for position, node in enumerate(graph)}
    for node in graph:
        if node.op_type not in ("Add", "Sum") or node.domain:
            continue
        operands = linear.inputs(node)
        if node.op_type == "Add" and len(operands) == 2:
            yield _examine(node, operands[0], operands[1], linear, order)
        elif len(operands) > 1:
            yield OtherAddition(node, f"a Sum of {len(node.inputs)}")


def _examine(
    node: ir.Node, left: ir.Value, right: ir.Value, linear: Linear, order: Mapping[ir.Node, int]
) -> ResidualAddition | OtherAddition:
    if (reason := _unlike(left, right)) is not None:
        return OtherAddition(node, reason)
    paths = {operand: linear.path(operand) for operand in (right, left)}
    for shortcut, branch in sorted(((right, left), (left, right)), key=lambda pair: len(paths[pair[0]].values)):
        path = paths[shortcut]
        ancestors = _ancestors(branch, linear, order, oldest=path.values[-1])
        for length, source in enumerate(path.values):
            if source in ancestors:
                behind = {branch, *_ancestors(branch, linear, order, oldest=source)} - {source}
                if not any(linear.has_weights(value) for value in behind):
                    return OtherAddition(node, "no layer with weights between x and F(x)")
                return ResidualAddition(node, branch, shortcut, path.kind(length), source, path.values[:length])
    ends = " and ".join(dict.fromkeys(_origin(paths[operand].values[-1]) for operand in (left, right)))
    return OtherAddition(node, f"no operand is a shortcut of the other's source; the operands start from {ends}")


def _unlike(left: ir.Value, right: ir.Value) -> str | None:
    """Returns why two operands cannot be branch and shortcut by their shapes. If None, they can, as far as is known."""
    shapes = [operand.shape for operand in (left, right) if operand.shape is not None]
    if strange := [shape for shape in shapes if len(shape) != 4]:
        return f"not images: {strange[0]}"
    if len(shapes) == 2:
        pairs = [pair for pair in zip(*shapes, strict=True) if all(isinstance(size, int) for size in pair)]
        if any(one != other for one, other in pairs):
            return f"one operand is broadcast: {shapes[0]} and {shapes[1]}"
    return None


def _origin(value: ir.Value) -> str:
    node = value.producer()
    if node is None:
        return f"the input {value.name}"
    kernel = node.attributes.get_ints("kernel_shape", []) if node.op_type == "MaxPool" else []
    article = "an" if node.op_type[0] in "AEIO" else "a"
    return f"{article} {node.op_type}{' of ' if kernel else ''}{'×'.join(map(str, kernel))}"


def _ancestors(value: ir.Value, linear: Linear, order: Mapping[ir.Node, int], oldest: ir.Value) -> set[ir.Value]:
    """Returns the values that a value is computed from, as far back as `oldest`, without the value itself."""
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
        for operand in linear.inputs(nodes[-heappop(waiting)]):
            if operand not in found:
                found.add(operand)
                visit(operand)
    return found


def _position(value: ir.Value, order: Mapping[ir.Node, int]) -> int:
    node = value.producer()
    return -1 if node is None else order[node]
