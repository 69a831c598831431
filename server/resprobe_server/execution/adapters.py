"""Graphs around a session: for one without a batch axis, and for one that runs batches of a few sizes only."""

from collections.abc import Sequence

import numpy as np

from resprobe_server.execution.graph import Arrays, Graph


class Whole:
    """Graph with a batch axis around one that has none: each row is a whole request, and runs by itself."""

    def __init__(self, session: Graph) -> None:
        """Wraps a graph without a batch axis."""
        self._session = session

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one row, as Session.run does. Every array is [1, …]."""
        outputs = self._session.run({name: array[0] for name, array in inputs.items()})
        return {name: np.asarray(array)[np.newaxis] for name, array in outputs.items()}


class Padded:
    """Graph that runs batches of a few sizes only, each of which was warmed: others are filled up with zeros."""

    def __init__(self, graph: Graph, sizes: Sequence[int]) -> None:
        """Wraps a graph. The sizes are in ascending order, and the last one is the largest batch."""
        self._graph, self._sizes = graph, sizes

    def run(self, inputs: Arrays) -> Arrays:
        """Runs one batch, as Session.run does, and leaves the filling out of the outputs."""
        rows = len(next(iter(inputs.values())))
        size = next(size for size in self._sizes if size >= rows)
        if size == rows:
            return self._graph.run(inputs)
        filled = {
            name: np.pad(array, [(0, size - rows)] + [(0, 0)] * (array.ndim - 1)) for name, array in inputs.items()
        }
        return {name: array[:rows] for name, array in self._graph.run(filled).items()}
