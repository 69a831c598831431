"""Checks that a graph can be served: requests are joined, so it must take any number of rows, and treat each alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resprobe_exporter.errors import CheckFailed, ExporterError
from resprobe_exporter.verification.ort import Graph, Outputs, count

TOGETHER = ([0, 1], [2, 1, 0])  # rows that are run at a time, besides each of these alone


def check_rows(path: Path, inputs: npt.NDArray[np.generic], source: str, tolerance: float) -> None:
    """Checks that a graph works with 1, 2 and 3 rows at a time, and that each gets what it gets alone.

    Args:
        path: Of its file.
        inputs: [n, …], three rows or more.
        source: Whose graph it is, as an error says it.
        tolerance: Relative to the largest number that a row gets.

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
                    "answers would depend on who else asks"
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
    return outputs


def _alike(found: npt.NDArray[np.generic], expected: npt.NDArray[np.generic], tolerance: float) -> bool:
    if found.shape != expected.shape:
        return False
    one, other = (array.astype(np.float64).reshape(len(array), -1) for array in (found, expected))
    scale = np.abs(other).max(axis=1, keepdims=True, initial=0)
    return bool((np.abs(one - other) <= tolerance * scale).all())


def _check_axis(graph: Graph, source: str) -> None:
    """Whether servers can see that rows are rows: the first sizes of all shapes are one free size."""
    free = {shape[0] if shape else None for shape in graph.shapes.values()}
    if len(free) > 1 or not all(isinstance(size, str) for size in free):
        shapes = ", ".join(f"{name} {shape}" for name, shape in graph.shapes.items())
        raise CheckFailed(
            f"{source} cannot be served, as not all that it takes and returns has one batch axis: {shapes}"
        )
