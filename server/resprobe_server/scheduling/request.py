"""A request on its way through a batcher, and its outcome."""

import sys
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from resprobe_server.execution.graph import Arrays
from resprobe_server.execution.outputs import Results


@dataclass(eq=False, slots=True)  # not frozen: that makes each one several times slower
class Outcome:
    """Outcome of a request: rows `start` to `stop` of `results`, in the order of its images.

    Attributes:
        results: Outputs of the batch that the request was in, or its own if it was in several.
        start: First row of the request in `results`.
        stop: Row after its last one.
        batch_size: Images in the largest batch that a part of the request was in.
        queued: Seconds from its arrival to the start of its first batch.
        ran: Seconds from the start of its first batch to the end of its last.
    """

    results: Results
    start: int
    stop: int
    batch_size: int
    queued: float
    ran: float

    def output(self, name: str) -> npt.NDArray[np.generic]:
        """Returns one output of the graph, [n, …]."""
        return self.results.arrays[name][self.start : self.stop]


class Promise(Protocol):
    """Receiver of a request's outcome or of its error, on the event loop: a future, or an object like one."""

    def cancelled(self) -> bool:
        """Returns whether the client no longer waits for the outcome."""

    def done(self) -> bool:
        """Returns whether the promise is settled, so that setting it would have no effect."""

    def set_result(self, outcome: Outcome, /) -> None:
        """Settles the promise with the outcome."""

    def set_exception(self, error: Exception, /) -> None:
        """Settles the promise with the reason why there is no outcome."""


# Names, row shapes and types of a request's inputs: equal ones fit into one batch. If None, all requests of a graph do.
Likeness: TypeAlias = frozenset[tuple[str, tuple[int, ...], str]] | None


@dataclass(eq=False, slots=True)
class Work:
    """A request that waits for a graph or runs on it.

    Attributes:
        inputs: Arrays by name, each [rows, …].
        rows: Images in the request.
        deadline: Deadline on the clock of time.monotonic.
        arrived: Time of arrival on the same clock.
        promise: Promise of the outcome.
        likeness: Likeness of the inputs; requests share a batch if theirs are equal.
        size: Bytes that the request holds.
        span: Span of the request in traces. If None, it is not traced.
        batched: Rows that are in batches already.
        started: Start of its first batch; 0 before that.
        largest: Images in the largest batch that a part of it was in.
        parts: Rows of the results of each batch that has ended: results, first row, row after the last.
    """

    inputs: Arrays
    rows: int
    deadline: float
    arrived: float
    promise: Promise
    likeness: Likeness = None
    size: int = 0
    span: object | None = None
    batched: int = 0
    started: float = 0.0
    largest: int = 0
    parts: tuple[tuple[Results, int, int], ...] = ()

    def finish(self, now: float) -> Outcome:
        """Joins the parts of a request whose last batch has ended."""
        results, start, stop = self.parts[0]
        if len(self.parts) > 1:
            names, start, stop = results.arrays, 0, self.rows
            results = Results({name: np.concatenate([r.arrays[name][a:b] for r, a, b in self.parts]) for name in names})
        return Outcome(results, start, stop, self.largest, self.started - self.arrived, now - self.started)


@dataclass(eq=False, slots=True)
class Slice:
    """Rows `start` to `stop` of a request, which are rows of one batch."""

    work: Work
    start: int
    stop: int

    @property
    def arrived(self) -> float:
        """Time of the request's arrival, on the clock of time.monotonic."""
        return self.work.arrived

    @property
    def span(self) -> object | None:
        """Span of the request."""
        return self.work.span


Answer: TypeAlias = Outcome | Exception | None  # the end of a request; None if its client has cancelled


def likeness_of(inputs: Arrays) -> Likeness:
    """Returns the likeness of inputs: names, row shapes and types."""
    return frozenset((name, array.shape[1:], array.dtype.str) for name, array in inputs.items())


def size_of(inputs: Arrays) -> int:
    """Returns the bytes that inputs hold, those of their strings included."""
    size = 0
    for array in inputs.values():
        size += array.nbytes
        if array.dtype.hasobject:
            size += sum(map(sys.getsizeof, array.flat))
    return size
