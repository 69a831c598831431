"""Cuts blocks out of a graph, one for each row of a batch: what lesions of an imported net are compared with.

A cut selects the shortcut instead of the sum, bit by bit; nothing is multiplied. One session serves all blocks.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from resprobe_exporter.graph.residual import ResidualAddition, find
from resprobe_exporter.graph.utils import branch_shape, constant
from resprobe_exporter.verification.ort import Graph

CUT = "resprobe/cut"  # input, bool [n, L]: which blocks a row is computed without
ROWS = 8  # rows at a time: as many activations are in memory
FILE = ".cuts.onnx"


def outputs_without_each_block(
    lean: ir.Model, row: npt.NDArray[np.generic], directory: Path
) -> npt.NDArray[np.generic]:
    """Runs a graph without each of its blocks, and returns its first output, [L, …]; nothing if it has no blocks.

    Args:
        lean: Graph, with its weights in `directory`.
        row: Input for the graph, [1, …].
        directory: Directory of the weights; a file is written there for the moment.
    """
    if next(iter(find(lean.graph)), None) is None:
        return np.empty((0, 0))
    model = lean.clone()
    blocks = _add_cuts(model.graph)
    path = directory / FILE
    try:
        ir.save(model, path)
        graph = Graph(path, "the graph with blocks cut out")
        first = str(model.graph.outputs[0].name)
        cuts = np.eye(blocks, dtype=bool)
        parts = [cuts[start : start + ROWS] for start in range(0, blocks, ROWS)]
        return np.concatenate([graph.run(np.repeat(row, len(part), axis=0), **{CUT: part})[first] for part in parts])
    finally:
        path.unlink(missing_ok=True)


def _add_cuts(graph: ir.Graph) -> int:
    """Adds the input CUT to a graph; returns the number of blocks."""
    additions = list(find(graph))
    cut = ir.Value(name=CUT, shape=ir.Shape([None, len(additions)]), type=ir.TensorType(ir.DataType.BOOL))
    graph.inputs.append(cut)
    tape = ir.tape.Tape()
    columns = tape.op_multi_out("Split", [cut], {"axis": 1, "num_outputs": len(additions)}, num_outputs=len(additions))
    graph.insert_before(graph[0], tape.nodes)
    for addition, column in zip(additions, columns, strict=True):
        _cut(graph, addition, column)
    return len(additions)


def _cut(graph: ir.Graph, addition: ResidualAddition, column: ir.Value) -> None:
    """Makes what reads the sum of a block read its shortcut in rows where the column says so."""
    total, rank = addition.node.outputs[0], len(branch_shape(addition))
    shape = constant(graph, f"{CUT}/{rank}", np.array([-1] + [1] * rank))
    tape = ir.tape.Tape()
    chosen = tape.op("Where", [tape.op("Reshape", [column, shape]), addition.shortcut, total])
    chosen.shape, chosen.type = total.shape, total.type
    total.replace_all_uses_with(chosen, replace_graph_outputs=True)
    chosen.producer().replace_input_with(2, total)  # type: ignore[union-attr]  # it was made just now
    graph.insert_after(addition.node, tape.nodes)
