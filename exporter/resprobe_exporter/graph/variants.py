"""Writes the graphs of a version: the lean one, and those that passes make of it, over the same weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
from resprobe_protos.contract import INSPECT, LEAN, LESION, LESION_PROBE, PROBE, WEIGHTS

from resprobe_exporter.graph.inspection.cam import AddActivationMaps
from resprobe_exporter.graph.inspection.norms import AddNorms
from resprobe_exporter.graph.inspection.readouts import AddReadouts, Head
from resprobe_exporter.graph.passes.block_scale import AddBlockScale
from resprobe_exporter.graph.passes.block_statistics import AddBlockStatistics
from resprobe_exporter.graph.passes.insert_identity_norm import UntieBranches
from resprobe_exporter.nets.info import BlockInfo

# Statistics come first: they are of branches before these are scaled.
VARIANTS: Mapping[str, ir.passes.Sequential] = {
    PROBE: ir.passes.Sequential(AddBlockStatistics(), UntieBranches()),
    LESION: ir.passes.Sequential(AddBlockScale(), UntieBranches()),
    LESION_PROBE: ir.passes.Sequential(AddBlockStatistics(), AddBlockScale(), UntieBranches()),
}
SMALLEST_WEIGHT = 256  # bytes; smaller tensors stay in the graphs


def write_graphs(
    lean: ir.Model, directory: Path, blocks: Sequence[BlockInfo], heads: Mapping[int, Head] | None = None
) -> None:
    """Writes the lean graph and, for a residual net, its variants.

    Args:
        lean: Graph, with its weights in memory or in other files; it is not changed.
        directory: Directory to write to; the weights become one file, which all graphs share.
        blocks: Blocks of the graph, one for each residual addition. Without any there are no variants.
        heads: Fitted heads that scores are read off blocks with, by the place of the block. If None, there are none.
    """
    stored = ir.external_data.unload_from_model(lean.clone(), directory, WEIGHTS, size_threshold_bytes=SMALLEST_WEIGHT)
    if blocks:
        for file, passes in {**VARIANTS, INSPECT: inspection(blocks, heads or {})}.items():
            ir.save(passes(stored.clone()).model, directory / file)
    ir.save(stored, directory / LEAN)


def inspection(blocks: Sequence[BlockInfo], heads: Mapping[int, Head]) -> ir.passes.Sequential:
    """Returns the passes that make inspect.onnx: readouts come first, as they follow what reads the sums of blocks."""
    axes, last = channel_axes(blocks), blocks[-1]
    return ir.passes.Sequential(
        AddReadouts(heads, axes),
        AddActivationMaps(last.height, last.width),
        AddBlockStatistics(),
        AddNorms(axes),
        AddBlockScale(),
        UntieBranches(),
    )


def channel_axes(blocks: Sequence[BlockInfo]) -> list[int]:
    """Returns the axis of each block's channels in the graph: 1, as of images, where the axes are not known."""
    return [1 + block.axes.index("channels") if "channels" in block.axes else 1 for block in blocks]
