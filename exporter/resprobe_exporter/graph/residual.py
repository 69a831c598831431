"""Finds the residual additions of a graph: y = F(x) + s(x) (He et al. 2015, eq. 1 and 2).

An Add is a residual addition if all of these hold; `linear.py` defines what is computed and has the operators:

1. Both operands are computed; otherwise it adds a bias.
2. Both have the same shape, with the batch axis first, as images [n, c, h, w] and [n, h, w, c], tokens [n, t, c] and
   vectors [n, c] have: neither is broadcast.
3. One operand, the shortcut s(x), is a value x or is made of x by linear operators; a MaxPool that subsamples counts.
4. The other, the branch F(x), is computed from the same x by a layer with weights and a non-linearity, among others:
   x + 0.04 · x³ is part of GELU, and parallel convolutions of x (RepVGG, MobileOne) are a single convolution.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import onnx_ir as ir

from resprobe_exporter.graph.branch import branch_kind, why_not_a_branch
from resprobe_exporter.graph.linear import Linear
from resprobe_exporter.nets.info import BranchKind, ShortcutKind

CHOSEN = "resprobe.block"  # in the metadata of an Add that was chosen by hand


@dataclass(frozen=True)
class ResidualAddition:
    """One residual addition.

    Attributes:
        node: Add node.
        branch: Operand F(x).
        shortcut: Operand s(x).
        kind: What s does: nothing, pad or subsample, or convolve.
        branch_kind: What F is made of.
        source: Common ancestor x.
        path: Values from the shortcut back to x, without x; empty if the shortcut is x.
    """

    node: ir.Node
    branch: ir.Value
    shortcut: ir.Value
    kind: ShortcutKind
    branch_kind: BranchKind
    source: ir.Value
    path: Sequence[ir.Value]


@dataclass(frozen=True)
class OtherAddition:
    """An addition of computed tensors that is not a residual addition by the rule.

    Attributes:
        node: Add or Sum node.
        reason: Why it is not a residual addition.
        candidate: Residual addition that it becomes if it is chosen by hand. If None, it cannot be chosen, as it does
            not add two tensors of the same shape.
    """

    node: ir.Node
    reason: str
    candidate: ResidualAddition | None = None


def find(graph: ir.Graph) -> Iterator[ResidualAddition]:
    """Finds the residual additions, in the order of the graph, which must be topologically sorted.

    If additions were chosen by hand, they are all.
    """
    chosen = {node for node in graph if CHOSEN in node.metadata_props}
    for one in examine_additions(graph):
        if one.node in chosen or (not chosen and isinstance(one, ResidualAddition)):
            addition = one if isinstance(one, ResidualAddition) else one.candidate
            if addition is not None:
                yield addition


def choose(graph: ir.Graph, additions: Collection[ResidualAddition]) -> None:
    """Marks additions as the only residual additions of a graph and of its copies."""
    for node in graph:
        node.metadata_props.pop(CHOSEN, None)
    for addition in additions:
        addition.node.metadata_props[CHOSEN] = ""


def examine_additions(graph: ir.Graph) -> Iterator[ResidualAddition | OtherAddition]:
    """Examines every addition of computed tensors, in the order of the graph, which must be topologically sorted.

    Each search stays between the addition and its x, so for blocks in a row the time is linear in the number of nodes.
    """
    linear, batch = Linear(graph), _batch_size(graph)
    order = {node: position for position, node in enumerate(graph)}
    for node in graph:
        if node.op_type not in ("Add", "Sum") or node.domain:
            continue
        operands = linear.inputs(node)
        if node.op_type == "Add" and len(operands) == 2:
            reason = _unlike(operands[0], operands[1], batch)
            yield OtherAddition(node, reason) if reason else _examine(node, operands[0], operands[1], linear, order)
        elif len(operands) > 1:
            yield OtherAddition(node, f"a Sum of {len(node.inputs)}")


def _examine(
    node: ir.Node, left: ir.Value, right: ir.Value, linear: Linear, order: Mapping[ir.Node, int]
) -> ResidualAddition | OtherAddition:
    paths = {operand: linear.path(operand) for operand in (right, left)}
    for shortcut, branch in sorted(((right, left), (left, right)), key=lambda pair: len(paths[pair[0]].values)):
        path = paths[shortcut]
        ancestors = _ancestors(branch, linear, order, oldest=path.values[-1])
        for length, source in enumerate(path.values):
            if source in ancestors:
                behind = {branch, *_ancestors(branch, linear, order, oldest=source)} - {source}
                reason, kinds = why_not_a_branch(behind, linear), (path.kind(length), branch_kind(behind, linear))
                found = ResidualAddition(node, branch, shortcut, *kinds, source, path.values[:length])
                return OtherAddition(node, reason, found) if reason else found
    ends = " and ".join(dict.fromkeys(_origin(paths[operand].values[-1]) for operand in (left, right)))
    reason = f"no operand is a shortcut of the other's source; the operands start from {ends}"
    shortcut, branch = sorted((left, right), key=lambda operand: _position(operand, order))
    kind = branch_kind({branch, *_ancestors(branch, linear, order, oldest=shortcut)}, linear)
    return OtherAddition(node, reason, ResidualAddition(node, branch, shortcut, "projection", kind, shortcut, ()))


def _batch_size(graph: ir.Graph) -> str | None:
    """Returns the name of the batch size. If None, it has no name."""
    shape = graph.inputs[0].shape if graph.inputs else None
    size = shape[0] if shape else None
    return size.value if isinstance(size, ir.SymbolicDim) else None


def _unlike(left: ir.Value, right: ir.Value, batch: str | None) -> str | None:
    """Returns why two operands cannot be branch and shortcut by their shapes. If None, they can, as far as is known."""
    shapes = [operand.shape for operand in (left, right) if operand.shape is not None]
    for shape in shapes:
        if len(shape) < 2 or isinstance(shape[0], int) or str(shape[0]).endswith(f"·{batch}"):
            return f"not a row for each image: {shape}"
    sizes = [[*shape][1:] for shape in shapes]
    if len(sizes) == 2 and (
        len(sizes[0]) != len(sizes[1])
        or any(
            one != other for one, other in zip(*sizes, strict=True) if isinstance(one, int) and isinstance(other, int)
        )
    ):
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
