"""Finds the shapes of what a graph adds where shape inference does not, by running the graph with 2 and with 3 rows.

Graphs of transformers compute the sizes of their reshapes while they run (Swin pads and rolls its windows by them), so
only the graph itself knows. Shapes are all that is returned: no tensor is kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from resprobe_exporter.graph.linear import Linear
from resprobe_exporter.verification.ort import Graph

ROWS = (2, 3)  # batch sizes to run with: a size that grows with them belongs to the batch
PREFIX = "resprobe/shape/"  # of names that no file has

Size = int | ir.SymbolicDim


def resolve(model: ir.Model, path: Path) -> None:
    """Writes the shapes of the operands of additions into a graph, as far as they are not known.

    A size that is the number of rows gets the name of the batch size; one that is k times as large is called k·n.

    Args:
        model: Graph with a free batch size. Sizes of its input are known.
        path: File of the graph, beside which weights may be.

    Raises:
        ExporterError: ONNX Runtime cannot run the graph with several rows.
    """
    values = [value for value in _operands(model.graph) if _is_open(value)]
    shape, dtype = model.graph.inputs[0].shape, model.graph.inputs[0].dtype
    if not values or shape is None or dtype is None or not all(isinstance(size, int) for size in shape[1:]):
        return
    graph = Graph(_with_shapes(model, values), str(path), folder=path.parent)
    zeros = (np.zeros((rows, *map(int, shape[1:])), dtype.numpy()) for rows in ROWS)  # type: ignore[arg-type]
    few, more = ({name: array.tolist() for name, array in graph.run(inputs).items()} for inputs in zeros)
    for value in values:
        name = PREFIX + str(value.name)
        value.shape = ir.Shape(_sizes(few[name], more[name], shape[0]))


def _operands(graph: ir.Graph) -> Iterable[ir.Value]:
    """Returns the computed operands of additions, and their sums, each once."""
    linear = Linear(graph)
    additions = [node for node in graph if node.op_type in ("Add", "Sum") and len(linear.inputs(node)) > 1]
    return dict.fromkeys(value for node in additions for value in (*linear.inputs(node), *node.outputs))


def _is_open(value: ir.Value) -> bool:
    """Whether a size besides the first is not known, or whether the first is not said to be that of the batch."""
    if value.shape is None:
        return True
    return not all(isinstance(size, int) for size in value.shape[1:]) or "unk__" in str(value.shape)


def _with_shapes(model: ir.Model, values: Sequence[ir.Value]) -> bytes:
    """Returns a copy of the graph that returns the shapes of these values, and nothing else."""
    copy = model.clone()
    known: Mapping[str | None, ir.Value] = {value.name: value for node in copy.graph for value in node.outputs}
    known = {**{value.name: value for value in copy.graph.inputs}, **known}
    copy.graph.outputs.clear()
    for value in values:
        node = ir.node("Shape", [known[value.name]])
        node.outputs[0].name, node.outputs[0].dtype = PREFIX + str(value.name), ir.DataType.INT64
        copy.graph.append(node)
        copy.graph.outputs.append(node.outputs[0])
    return ir.to_proto(copy).SerializeToString()


def _sizes(few: Sequence[int], more: Sequence[int], batch: Size) -> list[Size]:
    """Returns the sizes of a tensor by those that it has with ROWS rows."""
    return [_size(one, other, batch) for one, other in zip(few, more, strict=True)]


def _size(few: int, more: int, batch: Size) -> Size:
    if few == more:
        return few
    times, rest = divmod(few, ROWS[0])
    if rest or times * ROWS[1] != more:
        return ir.SymbolicDim(None)
    return batch if times == 1 else ir.SymbolicDim(f"{times}·{batch}")
