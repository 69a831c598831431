"""Speed of a quantised graph against the float32 graph that it was made of: a CPU without VNNI may lose by int8."""

import time
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from resprobe_server.execution.providers import Provider
from resprobe_server.execution.session import Session
from resprobe_server.images.format import Format

SECONDS = 2.0
TURNS = 5  # at least, even if they take longer
BATCH = 32  # images, if the server runs batches of that size


def speedup(before: Path, after: Path, provider: Provider, images: Format) -> float:
    """Returns the images a second of one graph over those of another: the median of turns of both.

    Args:
        before: File of a lean graph.
        after: File of a lean graph for the same images.
        provider: Execution provider that runs both.
        images: Format of the images, which are noise.
    """
    size = min(BATCH, provider.max_batch)
    batch = np.random.default_rng(0).integers(0, 256, (size, *images.shape), dtype=np.uint8)
    sessions = [Session(path, provider) for path in (before, after)]
    for session in sessions:
        session.bind()
        _seconds(session, batch)  # the first run is slower
    ratios: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(ratios) < TURNS:
        first, second = (_seconds(session, batch) for session in sessions)
        ratios.append(first / second)
    return median(ratios)


def _seconds(session: Session, batch: npt.NDArray[np.uint8]) -> float:
    begin = time.perf_counter()
    session.run({session.inputs[0].name: batch})
    return time.perf_counter() - begin
