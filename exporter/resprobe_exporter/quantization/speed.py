"""Speed of one lean graph against another's, by turns in one run: a CPU without VNNI may lose by int8."""

import time

import numpy as np
import onnx_ir as ir

from resprobe_exporter.nets.info import ImageShape
from resprobe_exporter.verification.ort import Graph

BATCH = 32
SECONDS = 3.0
TURNS = 5  # at least, even if they take longer


def speedup(before: ir.Model, after: ir.Model, shape: ImageShape, seconds: float = SECONDS) -> float:
    """Returns the images a second of one graph over those of another: the median of turns of both, one thread.

    Args:
        before: Lean graph, with its weights in memory.
        after: Lean graph for the same images.
        shape: Height, width and channels of the images, which are noise.
        seconds: How long to measure.
    """
    graphs = [Graph(ir.to_proto(model).SerializeToString(), threads=1) for model in (before, after)]
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *shape), dtype=np.uint8)
    for graph in graphs:
        graph.run(images)
    ratios: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(ratios) < TURNS:
        first, second = (_seconds(graph, images) for graph in graphs)
        ratios.append(first / second)
    return float(np.median(ratios))


def _seconds(graph: Graph, images: np.ndarray) -> float:
    begin = time.perf_counter()
    graph.run(images)
    return time.perf_counter() - begin
