"""Writes the graphs of a version: the lean one, and those that passes make of it, over the same weights."""

from collections.abc import Mapping
from pathlib import Path

import onnx_ir as ir
from resprobe_protos.contract import LEAN, LESION, LESION_PROBE, PROBE, WEIGHTS

from resprobe_exporter.graph.passes.block_scale import AddBlockScale
from resprobe_exporter.graph.passes.block_statistics import AddBlockStatistics
from resprobe_exporter.graph.passes.insert_identity_norm import UntieBranches

# Statistics come first: they are of branches before these are scaled.
VARIANTS: Mapping[str, ir.passes.Sequential] = {
    PROBE: ir.passes.Sequential(AddBlockStatistics(), UntieBranches()),
    LESION: ir.passes.Sequential(AddBlockScale(), UntieBranches()),
    LESION_PROBE: ir.passes.Sequential(AddBlockStatistics(), AddBlockScale(), UntieBranches()),
}
SMALLEST_WEIGHT = 256  # bytes; smaller tensors stay in the graphs


def write_graphs(lean: ir.Model, directory: Path, residual: bool) -> None:
    """Writes the lean graph and, for a residual net, its variants.

    Args:
        lean: Graph, with its weights in memory or in other files; it is not changed.
        directory: Directory to write to; the weights become one file, which all graphs share.
        residual: Whether the graph has residual additions; without them there are no variants.
    """
    stored = ir.external_data.unload_from_model(lean.clone(), directory, WEIGHTS, size_threshold_bytes=SMALLEST_WEIGHT)
    for file, passes in VARIANTS.items() if residual else ():
        ir.save(passes(stored.clone()).model, directory / file)
    ir.save(stored, directory / LEAN)
