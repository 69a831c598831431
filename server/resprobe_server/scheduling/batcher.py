"""Gathers the requests for one graph into batches, and answers each request with its rows of the outputs.

Requests larger than a batch are split and their rows joined again. Only requests whose rows have the same shape share
a batch. Which batcher runs next is decided by the device's thread (worker.py).
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from resprobe_server.execution.graph import Arrays, Graph
from resprobe_server.scheduling.admission import Admission, Rate
from resprobe_server.scheduling.batch_runner import BatchRunner
from resprobe_server.scheduling.budget import Budget
from resprobe_server.scheduling.graph_stats import Counters
from resprobe_server.scheduling.request import Answer, Outcome, Promise, Slice, Work, likeness_of, size_of
from resprobe_server.scheduling.request_queue import RequestQueue
from resprobe_server.tracer import NullTracer, Tracer


@dataclass(frozen=True)
class BatchOptions:
    """BatchOptions of a batcher.

    Attributes:
        max_batch: Maximum images in a batch.
        max_queue: Maximum images that may wait.
        max_wait: Maximum seconds that a batch that is not full waits for more requests.
        urgent: Whether its requests run before those that are not urgent: classification before analysis.
        name: Name of the graph in traces.
        uniform: Whether the rows of all requests have one shape. If not, only requests of equal shape are joined.
    """

    max_batch: int
    max_queue: int
    max_wait: float = 0.0
    urgent: bool = True
    name: str = ""
    uniform: bool = True


class Batcher:
    """Batches of one graph.

    `submit` and `deliver` are called on the event loop, `add` on any thread, everything else on the device's thread.

    Attributes:
        options: BatchOptions of the batcher.
        counters: Counters of the graph.
        queue: Requests that wait, seen by the device's thread alone.
    """

    def __init__(
        self,
        graph: Graph,
        put: "Callable[[Batcher, Work], None]",
        options: BatchOptions,
        budget: Budget | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Creates a batcher.

        Args:
            graph: Graph to run.
            put: Sends an admitted request to the device's thread.
            options: BatchOptions of the batcher.
            budget: Bytes that may wait for all graphs together. If None, they are not bounded.
            tracer: Tracer of requests. If None, requests are not traced.
        """
        self.options, self.counters = options, Counters.up_to(options.max_batch)
        self._put, self._uniform, self._tracer = put, options.uniform, tracer or NullTracer()
        rate = Rate()
        self._admission = Admission(options.max_queue, budget or Budget(), rate, self.counters)
        self.queue = RequestQueue(options.max_batch, options.max_wait, options.urgent, self.counters)
        self._runner = BatchRunner(graph, options.name, rate, self.counters, self._tracer)

    @property
    def pending(self) -> int:
        """Images that were accepted and not yet answered."""
        return self._admission.pending

    def submit(self, inputs: Arrays, deadline: float = math.inf, size: int = 0) -> "asyncio.Future[Outcome]":
        """Accepts a request on the event loop. Arguments and errors are those of `add`.

        Returns:
            A future; cancelling it drops the rows that have not reached the device. It may raise Expired.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.add(inputs, deadline, future, size)
        return future

    def add(self, inputs: Arrays, deadline: float, promise: Promise, size: int = 0) -> None:
        """Accepts a request, on any thread.

        Args:
            inputs: Arrays by name, each [n, …] with the same n ≥ 1.
            deadline: Deadline on the clock of time.monotonic.
            promise: Promise of the outcome. If it is cancelled, the rows that have not reached the device are dropped.
            size: Bytes that the request holds beside its inputs until then, such as the message that held them.

        Raises:
            QueueFull: Too many images wait, or too many bytes. A request that finds nothing waiting is accepted
                whatever its size.
        """
        rows, size = len(next(iter(inputs.values()))), size + size_of(inputs)
        self._admission.enter(rows, size)
        likeness = None if self._uniform else likeness_of(inputs)
        span = self._tracer.current()
        self._put(self, Work(inputs, rows, deadline, time.monotonic(), promise, likeness, size, span))

    def observe(self, observer: Callable[[Arrays], None] | None) -> None:
        """Sets a function that gets the inputs of each batch after it ran, on the device's thread. If None, none."""
        self._runner.observer = observer

    def run_aside(self, inputs: Arrays) -> Arrays:
        """Runs the graph on inputs of no request, which are not counted. Returns its outputs by name."""
        return self._runner.graph.run(inputs)

    def take(self, now: float) -> tuple[list[Slice], list[tuple[Work, Answer]]]:
        """Removes the rows of the next batch from the queue, as RequestQueue.take does."""
        return self.queue.take(now)

    def run(self, batch: Sequence[Slice]) -> list[tuple[Work, Answer]]:
        """Runs a batch. Returns the requests that are answered by it, each with its outcome or the error of its rows.

        What is left of a split request whose rows failed is removed from the queue.
        """
        answers = self._runner.run(batch)
        for work, _ in answers:
            if work.batched < work.rows:
                self.queue.remove(work)
        self.queue.last_ended = time.monotonic()
        return answers

    def deliver(self, answers: Sequence[tuple[Work, Answer]]) -> None:
        """Answers requests on the event loop, and makes room for others."""
        self._admission.leave(sum([work.rows for work, _ in answers]), sum([work.size for work, _ in answers]))
        for work, answer in answers:
            if answer is None or work.promise.done():
                continue
            if isinstance(answer, Outcome):
                work.promise.set_result(answer)
            else:
                work.promise.set_exception(answer)
