"""Checks that a graph can be served: it must take any number of rows and treat each alone, as requests are joined."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resprobe_exporter.errors import CheckFailed, ExporterError
from resprobe_exporter.verification.ort import Graph, Outputs, count

TOGETHER = ([0, 1], [2, 1, 0])  # rows that run at a time, besides each of them alone


def check_rows(path: Path, inputs: npt.NDArray[np.generic], source: str, tolerance: float) -> None:
    """Checks that a graph works with 1, 2 and 3 rows at a time, and returns for each row what it returns for it alone.

    Args:
        path: File of the graph.
        inputs: Inputs of the graph, [n, …], three rows or more.
        source: Name of the graph's source, for errors.
        tolerance: Maximum difference, relative to the largest number of a row.

    Raises:
        CheckFailed: It does not; the text says why.
    """
    graph = Graph(path)
    alone = [_run(graph, inputs, [row], source) for row in range(3)]
    for rows in TOGETHER:
        for name, found in _run(graph, inputs, rows, source).items():
            expected = np.concatenate([alone[row][name] for row in rows])
            if not _alike(found, expected, tolerance):
                raise CheckFailed(
                    f"{source} cannot be served, as {name} of one image depends on the others that run with it; "
                    "a response would depend on the requests of other clients"
                )
    _check_axis(graph, source)


def _run(graph: Graph, inputs: npt.NDArray[np.generic], rows: Sequence[int], source: str) -> Outputs:
    number = count(len(rows))
    try:
        outputs = graph.run(inputs[rows])
    except ExporterError as error:
        raise CheckFailed(f"{source} cannot be served, as it does not work with {number} at a time: {error}") from error
    for name, found in outputs.items():
        if found.shape[:1] != (len(rows),):
            raise CheckFailed(
                f"{source} cannot be served, as {name} is {list(found.shape)} for {number}; expected a row for each"
            )
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise CheckFailed(f"{source} cannot be served, as {name} has numbers that are not finite")
    return outputs


def _alike(found: npt.NDArray[np.generic], expected: npt.NDArray[np.generic], tolerance: float) -> bool:
    if found.shape != expected.shape:
        return False
    one, other = (array.astype(np.float64).reshape(len(array), -1) for array in (found, expected))
    scale = np.abs(other).max(axis=1, keepdims=True, initial=0)
    return bool((np.abs(one - other) <= tolerance * scale).all())


def _check_axis(graph: Graph, source: str) -> None:
    """Raises CheckFailed unless all shapes begin with the same free size, by which servers know the batch axis."""
    free = {shape[0] if shape else None for shape in graph.shapes.values()}
    if len(free) > 1 or not all(isinstance(size, str) for size in free):
        shapes = ", ".join(f"{name} {shape}" for name, shape in graph.shapes.items())
        raise CheckFailed(
            f"{source} cannot be served, as its inputs and outputs do not share one free batch axis: {shapes}"
        )
