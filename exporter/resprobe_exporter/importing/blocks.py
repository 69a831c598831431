"""Finds the blocks of an imported graph, and says which additions are left out, and why."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import onnx_ir as ir

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.graph.block_info import describe_blocks
from resprobe_exporter.graph.residual import OtherAddition, ResidualAddition, choose, examine_additions, find
from resprobe_exporter.importing import operand_shapes
from resprobe_exporter.importing.chosen_blocks import Choice
from resprobe_exporter.nets.info import BlockInfo

# Operators of ONNX Runtime's own that add inside.
FUSED = frozenset({"FusedConv", "NhwcFusedConv", "QLinearAdd", "SkipLayerNormalization"})
SHOWN = 5  # additions that are left out for one reason, by name


def find_blocks(model: ir.Model, path: Path, image_last: bool, choice: Choice | None = None) -> list[BlockInfo]:
    """Finds and describes the blocks of a graph. With a choice, they are marked in the graph.

    Args:
        model: Graph with a free batch size.
        path: File of the graph.
        image_last: Whether the input of the graph is [n, h, w, c].
        choice: Blocks that are chosen by hand. If None, the rule decides.

    Raises:
        ExporterError: There are none, the choice does not fit, or the size of one is not known.
    """
    graph, source = model.graph, str(path)
    operand_shapes.resolve(model, path)
    found = list(examine_additions(graph))
    try:
        if choice is not None:
            known = [one for one in found if isinstance(one, ResidualAddition)]
            names = [block.name for block in describe_blocks(graph, known, image_last)]
            choose(graph, choice.select(found, names, source))
        else:
            _report(found, graph, source)
        return describe_blocks(graph, list(find(graph)), image_last)
    except ir.passes.PreconditionError as error:
        raise ExporterError(f"{source}: {error}; --size gives the sizes that are open") from error


def _report(found: Sequence[ResidualAddition | OtherAddition], graph: ir.Graph, source: str) -> None:
    """Says which additions are not blocks. Raises ExporterError if none is."""
    others = [one for one in found if isinstance(one, OtherAddition)]
    for reason, group in groupby(sorted(others, key=lambda one: one.reason), key=lambda one: one.reason):
        progress.note(f"left out, as not F(x) + s(x): {_names(list(group))} ({reason})")
    if len(others) == len(found):
        fused = sorted({node.op_type for node in graph if node.op_type in FUSED})
        hint = f"; it adds inside {', '.join(fused)}: give the file from before it was optimised" if fused else ""
        by_hand = "; --blocks chooses some of them by hand" if any(one.candidate for one in others) else ""
        raise ExporterError(f"{source} has no residual additions F(x) + s(x){hint}{by_hand}")


def _names(others: Sequence[OtherAddition]) -> str:
    names = [str(one.node.outputs[0].name) for one in others]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
