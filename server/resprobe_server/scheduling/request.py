"""A request on its way through a batcher, and what comes of it."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from resprobe_server.execution.outputs import Results
from resprobe_server.execution.session import Arrays

if TYPE_CHECKING:  # what is not imported costs nothing where traces are off
    from opentelemetry.trace import Span


@dataclass(eq=False, slots=True)  # not frozen: that makes each one several times slower
class Outcome:
    """What came of a request: rows `start` to `stop` of `results`, in the order of its images.

    Attributes:
        results: Of a batch that it was in; of its own if it was in several.
        start: See above.
        stop: See above.
        batch_size: Images in the largest batch that a part of it was run in.
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
        """One output of the graph, [n, …]."""
        return self.results.arrays[name][self.start : self.stop]


class Promise(Protocol):
    """What is given the outcome of a request, or an exception, on the event loop: a future, or what is like one."""

    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""

    def done(self) -> bool:
        """Whether there is no use in setting it."""

    def set_result(self, outcome: Outcome, /) -> None:
        """Gives it the outcome."""

    def set_exception(self, error: Exception, /) -> None:
        """Gives it the reason why there is none."""


# Names, row shapes and types of a request's inputs: equal ones fit into one batch. If None, all of a graph do.
Likeness: TypeAlias = frozenset[tuple[str, tuple[int, ...], str]] | None


@dataclass(eq=False, slots=True)
class Work:
    """A request on its way: `taken` rows are in batches, the outputs of finished ones are in `parts`.

    `size` is what it holds, in bytes; `like` says with which others it can share a batch.
    """

    inputs: Arrays
    rows: int
    deadline: float
    arrived: float
    promise: Promise
    like: Likeness = None
    size: int = 0
    span: "Span | None" = None
    taken: int = 0
    started: float = 0.0
    largest: int = 0
    parts: tuple[tuple[Results, int, int], ...] = ()  # rows of the results of a batch

    def finish(self, now: float) -> Outcome:
        """Joins the parts."""
        results, start, stop = self.parts[0]
        if len(self.parts) > 1:
            names, start, stop = results.arrays, 0, self.rows
            results = Results({name: np.concatenate([r.arrays[name][a:b] for r, a, b in self.parts]) for name in names})
        return Outcome(results, start, stop, self.largest, self.started - self.arrived, now - self.started)


def likeness_of(inputs: Arrays) -> Likeness:
    """With which others they can share a batch."""
    return frozenset((name, array.shape[1:], array.dtype.str) for name, array in inputs.items())


def size_of(inputs: Arrays) -> int:
    """Bytes that inputs hold, with the strings among them."""
    size = 0
    for array in inputs.values():
        size += array.nbytes
        if array.dtype.hasobject:
            size += sum(map(sys.getsizeof, array.flat))
    return size


# What a request ends with. If None, its caller has gone.
Answer: TypeAlias = Outcome | Exception | None


@dataclass(eq=False, slots=True)
class Slice:
    """Rows `start` to `stop` of a request, which are rows of one batch."""

    work: Work
    start: int
    stop: int
