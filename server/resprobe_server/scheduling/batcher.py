"""Gathers the requests for one graph into batches, and hands each request its rows of what comes out.

Requests larger than a batch are split and their rows joined again. Requests that were cancelled or whose deadline
passed are dropped before they reach the device. When a batch runs is the device's business: worker.py.

Only requests whose rows have the same shape share a batch. A batch of several requests that fails is run again in
halves, and these in halves, down to single requests: only those that fail by themselves are told so.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from resprobe_server.errors import Expired, QueueFull
from resprobe_server.execution.outputs import Results
from resprobe_server.execution.session import Arrays, Graph
from resprobe_server.observability.graph_stats import Counters
from resprobe_server.scheduling.budget import Budget
from resprobe_server.scheduling.request import Answer, Outcome, Promise, Slice, Work, likeness_of, size_of

if TYPE_CHECKING:  # what is not imported costs nothing where traces are off
    from resprobe_server.observability.traces import Tracing

PATIENCE = 0.1  # seconds that an analysis waits for classifications; then it has its turn, which is one batch
FIRST_GUESS = 100.0  # images/s, before anything was measured
SOON = 0.1  # seconds after which to come back, where what waits is for other graphs


class Batcher:
    """The requests that wait for one graph.

    `submit` and `deliver` are called on the event loop, `add` on any thread, all else on the device's.

    Attributes:
        max_batch: Maximum images in a batch.
        max_queue: Images that may wait.
        max_wait: Seconds that a batch that is not full waits for more.
        pending: Images that were accepted and not yet answered.
        counters: What it has done.
    """

    def __init__(
        self,
        graph: Graph,
        put: "Callable[[Batcher, Work], None]",
        max_batch: int,
        max_queue: int,
        max_wait: float = 0.0,
        urgent: bool = True,
        name: str = "",
        tracing: "Tracing | None" = None,
        uniform: bool = True,
        budget: Budget | None = None,
    ) -> None:
        """Makes a batcher.

        Args:
            graph: To run.
            put: Hands an accepted request to the device's thread.
            max_batch: Maximum images in a batch.
            max_queue: Images that may wait.
            max_wait: Seconds that a batch that is not full waits for more.
            urgent: Whether it goes ahead of those that are not: classification before analysis.
            name: Of the graph, in traces.
            tracing: Traces requests. If None, there are no traces.
            uniform: Whether the rows of all requests have one shape. If not, only those that are alike are joined.
            budget: Of the bytes that wait for all graphs. If None, they are not bounded.
        """
        self._uniform, self._budget = uniform, budget or Budget()
        self._graph, self._put = graph, put
        self.max_queue, self.max_wait = max_queue, max_wait
        self._patience = 0.0 if urgent else PATIENCE
        self._last = 0.0  # when its last batch ended
        self._name, self._tracing = name, tracing
        self._queue: deque[Work] = deque()
        self._rate = FIRST_GUESS
        self.max_batch = max_batch
        self.pending = 0
        self._lock = threading.Lock()  # of `pending`, and of what is refused
        self.counters = Counters.up_to(max_batch)

    def submit(self, inputs: Arrays, deadline: float = math.inf, size: int = 0) -> "asyncio.Future[Outcome]":
        """Accepts a request. Call it on the event loop. See `add`.

        Returns:
            A future; cancelling it drops what has not reached the device. It may raise Expired.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.add(inputs, deadline, future, size)
        return future

    def add(self, inputs: Arrays, deadline: float, promise: Promise, size: int = 0) -> None:
        """Accepts a request.

        Args:
            inputs: By name, each [n, …] with the same n ≥ 1.
            deadline: On the clock of time.monotonic.
            promise: Set when it is answered. If it is cancelled by then, what has not reached the device is dropped.
            size: Bytes that it holds beside its inputs until then: a message that they were made of.

        Raises:
            QueueFull: Too many images wait, or too many bytes. A request that finds nothing waiting is accepted
                whatever its size.
        """
        rows, size = len(next(iter(inputs.values()))), size + size_of(inputs)
        with self._lock:
            waiting = self.pending
            if waiting and waiting + rows > self.max_queue:
                self.counters.refused += 1
                raise QueueFull(
                    f"{waiting} images are waiting, and {rows} more would be over the limit of {self.max_queue}; "
                    "try again later",
                    retry_after=waiting / self._rate,
                )
            try:
                self._budget.take(size, waiting / self._rate or SOON)
            except QueueFull:
                self.counters.refused += 1
                raise
            self.pending = waiting + rows
        like = None if self._uniform else likeness_of(inputs)
        work = Work(inputs, rows, deadline, time.monotonic(), promise, like, size)
        if self._tracing:
            work.span = self._tracing.current()
        self._put(self, work)

    def deliver(self, answers: Sequence[tuple[Work, Answer]]) -> None:
        """Gives requests their answers."""
        with self._lock:
            self.pending -= sum([work.rows for work, _ in answers])
        self._budget.give_back(sum([work.size for work, _ in answers]))
        for work, answer in answers:
            if answer is None or work.promise.done():
                continue
            if isinstance(answer, Outcome):
                work.promise.set_result(answer)
            else:
                work.promise.set_exception(answer)

    def enqueue(self, work: Work) -> None:
        """Adds a request."""
        self._queue.append(work)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to run or to drop."""
        return bool(self._queue)

    def due(self) -> float:
        """When it is to run next, as the order among batchers; something must be waiting.

        Its turn comes with its oldest request, but not before its last batch: a long queue does not keep others out.
        """
        return max(self._queue[0].arrived, self._last) + self._patience

    def ready_at(self) -> float:
        """When to run a batch: at once if it is full, else when its oldest request has waited for max_wait."""
        if not self.max_wait or sum(work.rows - work.taken for work in self._queue) >= self.max_batch:
            return 0.0
        return self._queue[0].arrived + self.max_wait

    def take(self, now: float) -> tuple[list[Slice], list[tuple[Work, Answer]]]:
        """The rows of the next batch, oldest first, and the requests that are dropped instead, with the reason.

        The oldest request is always in it, so that none waits for ever for others of its shape.
        """
        batch: list[Slice] = []
        passed: list[Work] = []  # older than the rest, but unlike the first of the batch
        dropped: list[tuple[Work, Answer]] = []
        room = self.max_batch
        while self._queue and room:
            work = self._queue[0]
            if work.deadline <= now:  # asked first: gRPC cancels a call whose deadline has passed
                self.counters.expired += 1
                dropped.append((self._queue.popleft(), Expired("the deadline passed while the request was waiting")))
                continue
            if work.promise.cancelled():
                self.counters.cancelled += 1
                dropped.append((self._queue.popleft(), None))
                continue
            if batch and work.like != batch[0].work.like:
                passed.append(self._queue.popleft())
                continue
            count = min(room, work.rows - work.taken)
            batch.append(Slice(work, work.taken, work.taken + count))
            work.taken += count
            room -= count
            if work.taken == work.rows:
                self._queue.popleft()
        self._queue.extendleft(reversed(passed))
        return batch, dropped

    def run(self, batch: Sequence[Slice]) -> list[tuple[Work, Answer]]:
        """Runs a batch. Returns the requests that are answered by it, and those that fail by themselves."""
        begin = time.monotonic()
        rows = sum(part.stop - part.start for part in batch)
        try:
            inputs = _gather(batch)
            gathered = time.monotonic()
            outputs = self._graph.run(inputs)
            for name, array in outputs.items():
                if len(array) != rows:
                    raise RuntimeError(f"a batch of {rows} images came back with {len(array)} rows of {name}")
        except Exception as error:  # the callers are told; the device's thread must live on
            if (half := len(batch) // 2) == 0:
                return self._fail(batch[0], begin, error)
            return self.run(batch[:half]) + self.run(batch[half:])
        ran = time.monotonic()
        self._rate = 0.9 * self._rate + 0.1 * rows / (ran - begin)
        finished = _hand_back(batch, outputs, rows, begin)
        now = self._last = time.monotonic()
        self.counters.ran(
            rows,
            (gathered - begin, ran - gathered, now - ran),
            waits=[begin - part.work.arrived for part in batch if not part.start],
            times=[now - work.arrived for work in finished],
        )
        if self._tracing:
            self._tracing.batch(self._name, batch, begin, now)
        return [(work, work.finish(now)) for work in finished]

    def _fail(self, part: Slice, begin: float, error: Exception) -> list[tuple[Work, Answer]]:
        work = part.work
        if part.stop < work.rows:
            self._queue.remove(work)  # what is left of a split request
        now = self._last = time.monotonic()
        self.counters.broke([now - work.arrived])
        if self._tracing:
            self._tracing.batch(self._name, [part], begin, now, error)
        return [(work, error)]


def _gather(batch: Sequence[Slice]) -> Arrays:
    """The inputs of a batch: without a copy if it is one request's."""
    if len(batch) == 1:
        work, start, stop = batch[0].work, batch[0].start, batch[0].stop
        return work.inputs if stop - start == work.rows else {name: a[start:stop] for name, a in work.inputs.items()}
    names = batch[0].work.inputs
    return {name: np.concatenate([part.work.inputs[name][part.start : part.stop] for part in batch]) for name in names}


def _hand_back(batch: Sequence[Slice], outputs: Arrays, rows: int, begin: float) -> list[Work]:
    """Gives each request its rows of a batch that began then. Returns those that have all of theirs."""
    results, row = Results(outputs), 0
    for part in batch:
        work, count = part.work, part.stop - part.start
        work.started = work.started or begin
        work.largest = max(work.largest, rows)
        work.parts += ((results, row, row + count),)
        row += count
    return [part.work for part in batch if part.stop == part.work.rows]
