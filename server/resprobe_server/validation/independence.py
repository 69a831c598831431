"""Finds out whether the first axis of a graph is a batch, so that requests can share one.

What a graph declares does not say it: a free first axis may be the points of a cloud or the tokens of a sequence, which
belong together. So rows alone are compared with rows together, in several orders, on made-up inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe_server.errors import InvalidRequest
from resprobe_server.execution.providers import CPU
from resprobe_server.execution.session import Arrays, Padded, Session
from resprobe_server.validation.samples import Sample, kinds
from resprobe_server.validation.trial import Trial, run

ROWS = 3
TOGETHER = (1, 0), (2, 0, 1)
# How much of the largest value the size of a batch may change by rounding.
FINE, COARSE = 1e-3, 1e-2  # float32 on the CPU; float16, and TensorFloat-32 on others
Rows = Sequence[npt.NDArray[Any]]
PLAIN = ("tensor(uint8)", "tensor(float16)", "tensor(float)", "tensor(double)")  # any value makes sense


@dataclass(frozen=True)
class Examined:
    """What came of examining a graph.

    Attributes:
        sample: The inputs that it can work with.
        trial: What it returned for them. If None, it could work with none.
        batched: Whether requests can share a batch.
        reason: Why they cannot although the first axis could be a batch, or why that is not known; else empty.
    """

    sample: Sample
    trial: Trial | None
    batched: bool
    reason: str = ""


class Mixed(Exception):
    """The rows of a graph are not independent; the text says what shows it."""


class Untold(Exception):
    """What a graph returned does not show whether its rows are independent; the text says why."""


def examine(session: Session, sizes: Sequence[int], said: bool | None = None) -> Examined:
    """Runs a graph on one kind of inputs after another, until one shows what its first axis is.

    Args:
        session: Of the lean graph of a version.
        sizes: Batch sizes to run before it serves, ascending. A graph of a fixed batch is run with that.
        said: Whether the first axis is a batch, as far as that is agreed. If None, nothing is.

    Raises:
        InvalidRequest: The graph fails, and it declares so much that it is not the inputs' fault.
    """
    can = session.may_batch and said is not False
    sizes = (session.fixed,) if session.may_batch and session.fixed else sizes
    untold, failure = None, "there is no sample for its inputs"
    for sample in kinds(session.inputs):
        try:
            trial = run(session, sizes if can else sizes[:1], sample)
            if can:
                _compare(session, sample, trial)
            return Examined(sample, trial, can)
        except InvalidRequest as error:
            failure = str(error)
        except Untold as error:
            untold = untold or Examined(sample, trial, said is True, str(error))
        except Mixed as error:
            return Examined(sample, run(session, sizes[:1], sample), False, str(error))
    return untold or _examine_alone(session, sizes[:1], said is True and can, failure)


def _examine_alone(session: Session, sizes: Sequence[int], batched: bool, failure: str) -> Examined:
    """Runs what cannot work with several rows on one."""
    for sample in kinds(session.inputs):
        try:
            return Examined(sample, run(session, sizes, sample), False, f"of several rows, {failure}")
        except InvalidRequest:
            if all(tensor.dtype in PLAIN and None not in tensor.shape[1:] for tensor in session.inputs):
                raise
    return Examined(Sample(), None, batched, failure)


def _compare(session: Session, sample: Sample, trial: Trial) -> None:
    """Compares rows alone with rows together. Raises Mixed or Untold if they are not shown to be independent."""
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
    told = [_tells(name, [one[name] for one in alone], batches, session) for name in alone[0]]
    if not any(told):
        raise Untold("on made-up inputs, all rows of what it returns are the same or not finite")


def _tells(name: str, alone: Rows, batches: Sequence[tuple[Sequence[int], Arrays]], session: Session) -> bool:
    """Whether the rows of an output, each [1, …], differ and so tell something. Raises Mixed if one is not its own."""
    limit = _rounding(alone, session)
    for rows, found in batches:
        if not all(_same(found[name][at : at + 1], alone[row], limit) for at, row in enumerate(rows)):
            raise Mixed(f"a row of {name} is not the same alone and among {len(found[name])} rows")
    return any(_finite(one) and not _same(one, alone[0], limit) for one in alone[1:])


def _check_rows(name: str, array: npt.NDArray[Any], count: int) -> None:
    if array.shape[:1] != (count,):
        raise Mixed(f"for {count} rows it returns {name} of shape {list(array.shape)}")


def _rounding(rows: Rows, session: Session) -> float:
    """How far the same row may be off; 0 for what is not a floating-point number."""
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
