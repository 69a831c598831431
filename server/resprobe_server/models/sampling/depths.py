"""Histogram of prediction depth: after which block a net's answer stays (Baldock et al. 2021, arXiv 2106.09647)."""

import numpy as np
import numpy.typing as npt
from resprobe._results.inspection import prediction_depth
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BLOCK_SCALE

from resprobe_server.execution.graph import Arrays, Graph

BUCKETS = 20  # maximum, without that of +Inf


class Depths:
    """Histogram of the prediction depths of a model version: places of blocks, from 0.

    An image with a score that is not finite is left out.

    Attributes:
        bounds: Upper bounds of the buckets: places of blocks with a readout, all of them or BUCKETS, spread evenly.
        counts: Number of images in each bucket, int64 [bounds + 1]; the last bucket stays empty.
        sum: Sum of the depths.
    """

    def __init__(self, model: pb.Model) -> None:
        """Creates an empty histogram for a model with at least one readout."""
        self._places = np.array([at for at, block in enumerate(model.blocks) if block.HasField("readout")], np.int64)
        last = len(self._places) - 1
        self.bounds: list[int] = self._places[np.unique(np.linspace(0, last, BUCKETS).round().astype(int))].tolist()
        self.counts = np.zeros(len(self.bounds) + 1, np.int64)
        self.sum = 0

    def add(self, readouts: npt.NDArray[np.generic]) -> None:
        """Adds images, given their scores after each readout, float [n, R, classes]."""
        scores = readouts[np.isfinite(readouts.astype(np.float64)).all(axis=(1, 2))]
        if not len(scores):
            return
        depths = prediction_depth(scores.argmax(axis=2), self._places)
        np.add.at(self.counts, np.searchsorted(self.bounds, depths), 1)
        self.sum += int(depths.sum())


class Intact:
    """Graph with an input `block_scale`, run with all L blocks as they are."""

    def __init__(self, graph: Graph, blocks: int) -> None:
        """Wraps a graph; `blocks` is L."""
        self._graph, self._blocks = graph, blocks

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch, given the other inputs."""
        rows = len(next(iter(inputs.values())))
        return self._graph.run({**inputs, BLOCK_SCALE: np.ones((rows, self._blocks), np.float32)})
