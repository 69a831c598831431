"""Adds the statistics of every block to a graph as one small output, so that no activation leaves the device.

What decides the cost on ONNX Runtime's CPU kernels (figures: benchmarks/README.md):

- Mul and GlobalAveragePool stay in its blocked layout of images; other reductions reorder every tapped tensor first.
- For tensors in the order of their axes, such as tokens, Mul and ReduceSum take half the time of ReduceSumSquare.
- Taps must run right after their block, while its tensors are in the cache. ONNX Runtime visits the inputs of a node
  in falling order of their position in the file, so the last nodes of the taps stand in reverse order of the blocks.
  In the plain order it would compute the whole net first and keep every branch and shortcut until then.
- A tapped branch can no longer be added and rectified inside its convolution: UntieBranches makes up for that.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from resprobe_protos.contract import BLOCKS, STATISTICS

from resprobe_exporter.graph.passes import integer_statistics
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.utils import additions_to_tap, branch_shape, constant, is_image, join

Tail = tuple[Sequence[ir.Node], ir.Value]  # nodes for the end of the graph, and their result, [n, 1, 4]


class AddBlockStatistics(ir.passes.InPlacePass):
    """Adds the output `blocks`, float32 [n, L, 4]: STATISTICS of each of the L residual additions, for each image.

    For an image, with sums over all axes but the first: branch_l2 = ‖F‖₂, shortcut_l2 = ‖s‖₂, dot = ⟨F, s⟩ and
    branch_mean = mean of F. Sums are in float32 whatever the graph computes in.

    Requires: a topologically sorted graph whose additions have a batch axis and known sizes.
    Ensures: the other outputs are unchanged; L is the number of residual additions.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        graph, additions = model.graph, additions_to_tap(model.graph)
        totals, tails = dict[int, ir.Value](), list[Sequence[ir.Node]]()
        integer = list[integer_statistics.IntegerTap]()
        for index, addition in enumerate(additions):
            if integer_statistics.is_tappable(addition):
                tap, nodes = integer_statistics.tap(graph, addition, index)
                integer.append(tap)
            else:
                nodes, totals[index] = _tap(graph, addition, f"{BLOCKS}/{index}")
            tails.append(nodes)
        for nodes in reversed(tails):
            graph.extend(nodes)
        parts = [integer_statistics.sums(graph, integer)] if integer else []
        if totals:
            scales = np.array([_scale(additions[index]) for index in totals], np.float32)
            parts.append((list(totals), _scaled(graph, list(totals.values()), scales)))
        _finish(graph, parts)
        return ir.passes.PassResult(model, True)


def _tap(graph: ir.Graph, addition: ResidualAddition, name: str) -> Tail:
    """Adds reductions of F², s², F·s and F just before an addition, and creates nodes that finish them."""
    if is_image(addition):
        return _sum_channels(graph, _pool(graph, addition, name))
    return _sum_all(graph, addition, name)


def _pool(graph: ir.Graph, addition: ResidualAddition, name: str) -> ir.Value:
    """Adds the means over positions of F², s², F·s and F just before the addition: [n, 4c, 1, 1]."""
    tape = ir.tape.Tape()
    means = [tape.op("GlobalAveragePool", [value]) for value in _products(tape, addition, name)]
    pooled = tape.op("Concat", means, {"axis": 1}, name=f"{name}/means")
    graph.insert_before(addition.node, tape.nodes)
    return pooled


def _sum_all(graph: ir.Graph, addition: ResidualAddition, name: str) -> Tail:
    """Adds the sums of F², s², F·s and F just before the addition, and creates nodes that join them: [n, 1, 4]."""
    tape, tail = ir.tape.Tape(), ir.tape.Tape()
    rank = 1 + len(branch_shape(addition))
    axes = constant(graph, f"{BLOCKS}/axes{rank}", np.arange(1, rank))
    row = constant(graph, f"{BLOCKS}/row", np.array([-1, 1, 1]))
    sums = [tape.op("ReduceSum", [value, axes]) for value in _products(tape, addition, name)]
    graph.insert_before(addition.node, tape.nodes)
    total = tail.op("Concat", [tail.op("Reshape", [value, row]) for value in sums], {"axis": 2})
    return tail.nodes, total


def _products(tape: ir.tape.Tape, addition: ResidualAddition, name: str) -> Sequence[ir.Value]:
    """Creates F², s², F·s and F in float32."""
    branch, shortcut = (_as_float(tape, value, name) for value in (addition.branch, addition.shortcut))
    products = [
        tape.op("Mul", [left, right], name=f"{name}/{label}")
        for label, left, right in (
            ("branch²", branch, branch),
            ("shortcut²", shortcut, shortcut),
            ("branch·shortcut", branch, shortcut),
        )
    ]
    return (*products, branch)


def _as_float(tape: ir.tape.Tape, value: ir.Value, name: str) -> ir.Value:
    if value.dtype in (None, ir.DataType.FLOAT):
        return value
    return tape.op("Cast", [value], {"to": ir.DataType.FLOAT}, name=f"{name}/{value.name}/float")


def _sum_channels(graph: ir.Graph, pooled: ir.Value) -> Tail:
    """Creates nodes that sum over channels: [n, 4c, 1, 1] to [n, 1, 4]."""
    tape = ir.tape.Tape()
    shape = constant(graph, f"{BLOCKS}/shape", np.array([0, 1, len(STATISTICS), -1]))
    axis = constant(graph, f"{BLOCKS}/axis", np.array([3]))
    rows = tape.op("Reshape", [pooled, shape])
    total = tape.op("ReduceSum", [rows, axis], {"keepdims": 0})
    return tape.nodes, total


def _scale(addition: ResidualAddition) -> tuple[float, float, float, float]:
    """Returns the factors that turn the results of a tap into sums of F², s² and F·s, and into the mean of F."""
    shape = branch_shape(addition)
    if not is_image(addition):
        return 1, 1, 1, 1 / math.prod(shape)
    positions = math.prod(shape[1:])
    return positions, positions, positions, 1 / shape[0]


def _scaled(graph: ir.Graph, totals: Sequence[ir.Value], scales: np.ndarray) -> ir.Value:
    """Joins the sums of blocks: [n, 1, 4] each, to [n, blocks, 4]."""
    tape = ir.tape.Tape(graph)
    return tape.op("Mul", [join(tape, totals, 1), constant(graph, f"{BLOCKS}/scale", scales)])


def _finish(graph: ir.Graph, parts: Sequence[tuple[list[int], ir.Value]]) -> None:
    """Makes the statistics of all blocks, [n, L, 4], an output of the graph.

    Args:
        graph: What the sums are in.
        parts: Places of some blocks among all, and their sums in this order, [n, blocks, 4].
    """
    tape = ir.tape.Tape(graph)
    order = [index for indices, _ in parts for index in indices]
    sums = join(tape, [value for _, value in parts], 1)
    if order != sorted(order):
        sums = tape.op("Gather", [sums, constant(graph, f"{BLOCKS}/order", np.argsort(order))], {"axis": 1})
    lengths, others = tape.op_multi_out("Split", [sums], {"axis": 2, "num_outputs": 2}, num_outputs=2)
    output = tape.op("Concat", [tape.op("Sqrt", [lengths]), others], {"axis": 2}, name=BLOCKS)
    batch = graph.inputs[0].shape[0] if graph.inputs[0].shape is not None else None
    output.name, output.dtype = BLOCKS, ir.DataType.FLOAT
    output.shape = ir.Shape([batch, len(order), len(STATISTICS)])
    graph.outputs.append(output)
