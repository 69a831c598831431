"""Finds out whether the first axis of a graph is a batch, so that requests can share one.

The declared shapes do not show it: a free first axis may be the points of a cloud or the tokens of a sequence, which
belong together. So rows alone are compared with rows together, in several orders, on made-up inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe_server.errors import InvalidRequest
from resprobe_server.execution.adapters import Padded
from resprobe_server.execution.graph import Arrays
from resprobe_server.execution.providers import CPU
from resprobe_server.execution.session import Session
from resprobe_server.validation.samples import Sample, kinds
from resprobe_server.validation.trial import Trial, run

ROWS = 3
TOGETHER = (1, 0), (2, 0, 1)
# Share of the largest value by which a batch of another size may differ, through rounding.
FINE, COARSE = 1e-3, 1e-2  # float32 on the CPU; float16, and TensorFloat-32 on other devices
Rows = Sequence[npt.NDArray[Any]]
PLAIN = ("tensor(uint8)", "tensor(float16)", "tensor(float)", "tensor(double)")  # any value makes sense


@dataclass(frozen=True)
class Examined:
    """Result of examining a graph.

    Attributes:
        sample: Kind of inputs that the graph can work with.
        trial: Trial with these inputs. If None, it could work with no inputs.
        batched: Whether requests can share a batch.
        reason: Why they cannot although the first axis could be a batch, or why that is not known; else empty.
    """

    sample: Sample
    trial: Trial | None
    batched: bool
    reason: str = ""


class Mixed(Exception):
    """The rows of a graph are not independent; the text names the output that shows it."""


class Undecided(Exception):
    """The outputs of a graph do not show whether its rows are independent; the text says why."""


def examine(session: Session, sizes: Sequence[int], agreed: bool | None = None) -> Examined:
    """Runs a graph on one kind of inputs after another, until one shows what its first axis is.

    Args:
        session: Session of the lean graph.
        sizes: Batch sizes to run before it serves, ascending. A graph of a fixed batch is run with that size.
        agreed: Whether the first axis is a batch, as its operator or maker has declared. If None, that is not declared.

    Raises:
        InvalidRequest: The graph fails, and it declares so much that the inputs cannot be the reason.
    """
    can = session.may_batch and agreed is not False
    sizes = (session.fixed,) if session.may_batch and session.fixed else sizes
    undecided, failure = None, "there is no sample for its inputs"
    for sample in kinds(session.inputs):
        try:
            trial = run(session, sizes if can else sizes[:1], sample)
            if can:
                _compare(session, sample, trial)
            return Examined(sample, trial, can)
        except InvalidRequest as error:
            failure = str(error)
        except Undecided as error:
            undecided = undecided or Examined(sample, trial, agreed is True, str(error))
        except Mixed as error:
            return Examined(sample, run(session, sizes[:1], sample), False, str(error))
    return undecided or _examine_alone(session, sizes[:1], agreed is True and can, failure)


def _examine_alone(session: Session, sizes: Sequence[int], batched: bool, failure: str) -> Examined:
    """Runs a graph that cannot work with several rows on one row."""
    for sample in kinds(session.inputs):
        try:
            return Examined(sample, run(session, sizes, sample), False, f"of several rows, {failure}")
        except InvalidRequest:
            if all(tensor.dtype in PLAIN and None not in tensor.shape[1:] for tensor in session.inputs):
                raise
    return Examined(Sample(), None, batched, failure)


def _compare(session: Session, sample: Sample, trial: Trial) -> None:
    """Compares rows alone with rows together. Raises Mixed or Undecided if they are not shown to be independent."""
    largest = max(trial.seconds)
    for name, array in trial.outputs.items():
        _check_rows(name, array, largest)
    if session.fixed == 1:
        return  # each row is always alone
    graph = Padded(session, (session.fixed,)) if session.fixed else session
    inputs = sample.draw([tensor.of_any_rows() for tensor in session.inputs], ROWS)

    def run_rows(rows: Sequence[int]) -> Arrays:
        found = graph.run({name: array[list(rows)] for name, array in inputs.items()})
        for name, array in found.items():
            _check_rows(name, array, len(rows))
        return found

    count = min(ROWS, session.fixed or ROWS)
    alone = [run_rows([row]) for row in range(count)]
    batches: list[tuple[Sequence[int], Arrays]] = [(rows, run_rows(rows)) for rows in TOGETHER if len(rows) <= count]
    batches.append((range(min(largest, count)), trial.outputs))
    differ = [_rows_differ(name, [one[name] for one in alone], batches, session) for name in alone[0]]
    if not any(differ):
        raise Undecided("on made-up inputs, all rows of what it returns are the same or not finite")


def _rows_differ(name: str, alone: Rows, batches: Sequence[tuple[Sequence[int], Arrays]], session: Session) -> bool:
    """Returns whether the rows of an output, each [1, …], differ from each other.

    Raises:
        Mixed: A row depends on the other rows of its batch.
    """
    limit = _rounding(alone, session)
    for rows, found in batches:
        if not all(_same(found[name][at : at + 1], alone[row], limit) for at, row in enumerate(rows)):
            raise Mixed(f"a row of {name} is not the same alone and among {len(found[name])} rows")
    return any(_finite(one) and not _same(one, alone[0], limit) for one in alone[1:])


def _check_rows(name: str, array: npt.NDArray[Any], count: int) -> None:
    if array.shape[:1] != (count,):
        raise Mixed(f"for {count} rows it returns {name} of shape {list(array.shape)}")


def _rounding(rows: Rows, session: Session) -> float:
    """Returns the maximum difference that rounding explains; 0 for outputs that are not floating-point numbers."""
    if rows[0].dtype.kind != "f":
        return 0.0
    largest = max((np.abs(row[np.isfinite(row)]).max(initial=0) for row in rows), default=0)
    coarse = rows[0].dtype == np.float16 or session.provider != CPU
    return float(largest) * (COARSE if coarse else FINE)


def _same(one: npt.NDArray[Any], two: npt.NDArray[Any], limit: float) -> bool:
    if one.dtype.kind != "f" or one.shape != two.shape:
        return np.array_equal(one, two)
    return np.allclose(one.astype(np.float64), two.astype(np.float64), rtol=0, atol=limit, equal_nan=True)


def _finite(row: npt.NDArray[Any]) -> bool:
    return row.dtype.kind != "f" or bool(np.isfinite(row).any())
