"""Time of each part against that of the whole net, by turns in one run."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from resprobe_protos.contract import LEAN, LOGITS, NEXT_STATE

from resprobe_exporter.nets.info import ImageShape
from resprobe_exporter.verification.ort import Graph

BATCH = 32
SECONDS = 3.0
TURNS = 5  # at least, even if they take longer


def costs(directory: Path, files: Sequence[str], shape: ImageShape, seconds: float = SECONDS) -> list[float]:
    """Returns the CPU time of each part over that of the lean graph: the median of turns of all, one thread.

    Args:
        directory: Directory of the graphs.
        files: Names of the parts, in their order.
        shape: Height, width and channels of the images, which are noise.
        seconds: How long to measure.
    """
    graphs = [Graph(directory / file, threads=1) for file in (LEAN, *files)]
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *shape), dtype=np.uint8)
    turns: list[list[float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(turns) <= TURNS:
        turns.append(_turn(graphs, images))
    times = np.array(turns[1:])
    found: list[float] = np.median(times[:, 1:] / times[:, :1], axis=0).tolist()
    return found


def _turn(graphs: Sequence[Graph], images: np.ndarray) -> list[float]:
    """Runs the whole net, then all parts; returns the CPU seconds of each."""
    values, seconds = images, []
    for place, graph in enumerate(graphs):
        begin = time.process_time()
        outputs = graph.run(values)
        seconds.append(time.process_time() - begin)
        if place:
            values = outputs.get(NEXT_STATE, outputs[LOGITS])
    return seconds
