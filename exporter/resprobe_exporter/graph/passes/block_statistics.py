"""Adds the statistics of every block to a graph as one small output, so that no activation leaves the device.

What decides the cost on ONNX Runtime's CPU kernels (figures: benchmarks/README.md):

- Mul and GlobalAveragePool stay in its blocked layout; other reductions reorder every tapped tensor first.
- Taps must run right after their block, while its tensors are in the cache. ONNX Runtime visits the inputs of a node
  in falling order of their position in the file, so the last nodes of the taps stand in reverse order of the blocks.
  In the plain order it would compute the whole net first and keep every branch and shortcut until then.
- A tapped branch can no longer be added and rectified inside its convolution: UntieBranches makes up for that.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from resprobe_protos.contract import BLOCKS, STATISTICS

from resprobe_exporter.graph.passes import integer_statistics
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.utils import additions_to_tap, branch_shape, constant


class AddBlockStatistics(ir.passes.InPlacePass):
    """Adds the output `blocks`, float32 [n, L, 4]: STATISTICS of each of the L residual additions, for each image.

    For an image, with sums over channels and positions: branch_l2 = ‖F‖₂, shortcut_l2 = ‖s‖₂, dot = ⟨F, s⟩ and
    branch_mean = mean of F. Sums are in float32 whatever the graph computes in.

    Requires: a topologically sorted graph whose additions are [n, c, h, w] with known c, h and w.
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
                nodes, totals[index] = _sum(graph, _tap(graph, addition, f"{BLOCKS}/{index}"))
            tails.append(nodes)
        for nodes in reversed(tails):
            graph.extend(nodes)
        parts = [integer_statistics.sums(graph, integer)] if integer else []
        if totals:
            scales = np.array([_scale(additions[index]) for index in totals], np.float32)
            parts.append((list(totals), _scaled(graph, list(totals.values()), scales)))
        _finish(graph, parts)
        return ir.passes.PassResult(model, True)


def _tap(graph: ir.Graph, addition: ResidualAddition, name: str) -> ir.Value:
    """Adds the means over positions of F², s², F·s and F just before the addition: [n, 4c, 1, 1]."""
    tape = ir.tape.Tape()
    branch, shortcut = (_as_float(tape, value, name) for value in (addition.branch, addition.shortcut))
    products = [
        tape.op("Mul", [left, right], name=f"{name}/{label}")
        for label, left, right in (
            ("branch²", branch, branch),
            ("shortcut²", shortcut, shortcut),
            ("branch·shortcut", branch, shortcut),
        )
    ]
    means = [tape.op("GlobalAveragePool", [value]) for value in (*products, branch)]
    pooled = tape.op("Concat", means, {"axis": 1}, name=f"{name}/means")
    graph.insert_before(addition.node, tape.nodes)
    return pooled


def _as_float(tape: ir.tape.Tape, value: ir.Value, name: str) -> ir.Value:
    if value.dtype in (None, ir.DataType.FLOAT):
        return value
    return tape.op("Cast", [value], {"to": ir.DataType.FLOAT}, name=f"{name}/{value.name}/float")


def _sum(graph: ir.Graph, pooled: ir.Value) -> tuple[Sequence[ir.Node], ir.Value]:
    """Creates nodes that sum over channels: [n, 4c, 1, 1] to [n, 1, 4]."""
    tape = ir.tape.Tape()
    shape = constant(graph, f"{BLOCKS}/shape", np.array([0, 1, len(STATISTICS), -1]))
    axis = constant(graph, f"{BLOCKS}/axis", np.array([3]))
    rows = tape.op("Reshape", [pooled, shape])
    total = tape.op("ReduceSum", [rows, axis], {"keepdims": 0})
    return tape.nodes, total


def _scale(addition: ResidualAddition) -> tuple[float, float, float, float]:
    """Returns the factors that turn sums over channels of means over positions into sums, and into the mean of F."""
    channels, height, width = branch_shape(addition)
    positions = height * width
    return positions, positions, positions, 1 / channels


def _scaled(graph: ir.Graph, totals: Sequence[ir.Value], scales: np.ndarray) -> ir.Value:
    """Joins the sums of blocks: [n, 1, 4] each, to [n, blocks, 4]."""
    tape = ir.tape.Tape(graph)
    return tape.op("Mul", [tape.op("Concat", totals, {"axis": 1}), constant(graph, f"{BLOCKS}/scale", scales)])


def _finish(graph: ir.Graph, parts: Sequence[tuple[list[int], ir.Value]]) -> None:
    """Makes the statistics of all blocks, [n, L, 4], an output of the graph.

    Args:
        graph: What the sums are in.
        parts: Places of some blocks among all, and their sums in this order, [n, blocks, 4].
    """
    tape = ir.tape.Tape(graph)
    order = [index for indices, _ in parts for index in indices]
    sums = tape.op("Concat", [value for _, value in parts], {"axis": 1}) if len(parts) > 1 else parts[0][1]
    if order != sorted(order):
        sums = tape.op("Gather", [sums, constant(graph, f"{BLOCKS}/order", np.argsort(order))], {"axis": 1})
    lengths, others = tape.op_multi_out("Split", [sums], {"axis": 2, "num_outputs": 2}, num_outputs=2)
    output = tape.op("Concat", [tape.op("Sqrt", [lengths]), others], {"axis": 2}, name=BLOCKS)
    batch = graph.inputs[0].shape[0] if graph.inputs[0].shape is not None else None
    output.name, output.dtype = BLOCKS, ir.DataType.FLOAT
    output.shape = ir.Shape([batch, len(order), len(STATISTICS)])
    graph.outputs.append(output)
