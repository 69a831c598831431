"""Cuts a lean graph into parts at the ends of blocks, each of which but the last ends in a head."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass
from resprobe_protos.contract import IMAGE, LOGITS, NEXT_STATE, STATE

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.exits.heads import ExitHead, add_head
from resprobe_exporter.graph.inspection.trunk import trunk
from resprobe_exporter.graph.utils import additions_to_tap, branch_shape


@dataclass(frozen=True)
class Cut:
    """Place where a net is cut.

    Attributes:
        place: Place of the block that the part ends with.
        value: Name of the value that the rest of the net reads.
        shape: Channels, height and width of it.
    """

    place: int
    value: str
    shape: tuple[int, int, int]


def find_cuts(graph: ir.Graph, places: Sequence[int]) -> list[Cut]:
    """Finds the values to cut at. Raises ExporterError if a block does not return an image."""
    additions, found = additions_to_tap(graph), []
    for place in places:
        value, shape = trunk(additions[place].node.outputs[0]).value, branch_shape(additions[place])
        if len(shape) != 3 or value.name is None or value.dtype not in (None, ir.DataType.FLOAT):
            raise ExporterError("early exits need a net whose blocks return images in float32")
        found.append(Cut(place, value.name, (shape[0], shape[1], shape[2])))
    return found


def cut(lean: ir.Model, cuts: Sequence[Cut], heads: Sequence[ExitHead]) -> list[ir.Model]:
    """Cuts a graph into parts: the first takes IMAGE, the others STATE; all return LOGITS, all but the last NEXT_STATE.

    Args:
        lean: Graph; it is not changed. Its weights may lie in another file.
        cuts: Ends of all parts but the last.
        heads: Trained head of each.

    Raises:
        ExporterError: What follows a cut reads more than its value.
    """
    before: list[Cut | None] = [None, *cuts]
    after: list[tuple[Cut, ExitHead] | None] = [*zip(cuts, heads, strict=True), None]
    return [_part(lean.clone(), start, end) for start, end in zip(before, after, strict=True)]


def _part(model: ir.Model, start: Cut | None, end: tuple[Cut, ExitHead] | None) -> ir.Model:
    graph = model.graph
    values = {value.name: value for node in graph for value in node.outputs}
    if end is not None:
        state = values[end[0].value]
        scores = add_head(graph, state, end[1], f"exit/{end[0].place}")
        _replace_outputs(graph, scores, state)
    if start is not None:
        _begin_at(graph, values[start.value])
    RemoveUnusedNodesPass()(model)
    if start is not None:
        image = next(value for value in graph.inputs if value.name == IMAGE)
        if image.uses():
            raise ExporterError(
                f"the net cannot be cut after block {start.place}: what follows reads more than its sum"
            )
        graph.inputs.remove(image)
    return model


def _replace_outputs(graph: ir.Graph, scores: ir.Value, state: ir.Value) -> None:
    """Makes a graph return the scores of a head, and what the next part reads."""
    old = next(value for value in graph.outputs if value.name == LOGITS)
    old.name = f"{LOGITS}/whole"
    scores.name, scores.type, scores.shape = LOGITS, ir.TensorType(ir.DataType.FLOAT), old.shape
    tape = ir.tape.Tape(graph)
    returned = tape.op("Identity", [state])
    returned.name, returned.type, returned.shape = NEXT_STATE, ir.TensorType(ir.DataType.FLOAT), state.shape
    graph.outputs[:] = [scores, returned]


def _begin_at(graph: ir.Graph, value: ir.Value) -> None:
    """Makes a graph take a value instead of computing it."""
    taken = ir.val(STATE, ir.DataType.FLOAT, value.shape)
    graph.inputs.append(taken)
    value.replace_all_uses_with(taken)
