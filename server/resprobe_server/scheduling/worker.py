"""Thread that owns a device and runs one batch at a time on it, so that graphs never compete for the same cores.

A batch runs as soon as the device is free: an idle device waits for no timer, and while one batch runs the next
gathers. The event loop and this thread share one queue, and one callback into the loop for each batch. Threads that
prepare requests may rest while a batch runs: the requests that arrive meanwhile cost less when they are read together.
"""

import asyncio
import heapq
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeAlias, TypeVar

from resprobe_server.execution.graph import Graph
from resprobe_server.scheduling.batcher import Batcher, BatchOptions
from resprobe_server.scheduling.budget import Budget
from resprobe_server.scheduling.request import Work
from resprobe_server.tracer import Tracer

QUIET = 0.005  # seconds without a request after which the device counts as idle
SHORTEST_REST, LONGEST_REST = 0.0005, 0.002  # seconds
REST = 0.2  # share of a batch's time for which the poller rests
CHECK = 1.0  # seconds between two looks at whether the thread still runs
Job: TypeAlias = Callable[[], None]
Result = TypeVar("Result")


class Device:
    """Device with its thread. Use it as an asynchronous context; leaving it runs all requests that were accepted."""

    def __init__(self, tracer: Tracer | None = None, budget: Budget | None = None) -> None:
        """Creates a device.

        Args:
            tracer: Tracer of requests. If None, requests are not traced.
            budget: Bytes that may wait for all graphs together. If None, they are not bounded.
        """
        self._tracer, self._budget = tracer, budget or Budget()
        self._inbox: queue.SimpleQueue[tuple[Batcher, Work] | Job | None] = queue.SimpleQueue()
        self._active: list[Batcher] = []  # those whose queue is not empty
        self._spare: list[tuple[float, int, Job]] = []  # heap of jobs for an idle device: time, number, job
        self._jobs = 0
        self._stopping = False
        self._waits = threading.Event()  # set while there is no batch to run
        self._rest = 0.0
        self._thread = threading.Thread(target=self._main, name="device", daemon=True)
        self._loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> "Device":
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    def batcher(self, graph: Graph, options: BatchOptions) -> Batcher:
        """Creates a batcher whose graph runs on this device."""
        return Batcher(graph, self._put, options, self._budget, self._tracer)

    def when_idle(self, job: Job, earliest: float = 0.0) -> None:
        """Runs a short job once the device has been idle for a moment; under full load that may be never.

        Call it on the device's thread, which is where the job runs. The job must not raise.

        Args:
            job: Job.
            earliest: Time before which it does not run, on the clock of time.monotonic.
        """
        self._jobs += 1
        heapq.heappush(self._spare, (earliest, self._jobs, job))

    def call(self, function: Callable[[], Result]) -> Result:
        """Calls a function on the device's thread between two batches, and waits for its result.

        Call it on another thread than the device's and the event loop's. CUDA keeps what it has recorded for each
        thread: a graph that the device replays must be recorded on its thread. Before the thread has started, the
        function runs at once.

        Raises:
            RuntimeError: The device has stopped.
            Exception: Any error of the function.
        """
        if self._thread.ident is None:
            return function()
        future: Future[Result] = Future()

        def job() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # raised again by the thread that waits
                future.set_exception(error)

        self._inbox.put(job)
        while not wait([future], CHECK).done:
            if not self._thread.is_alive() and not future.done():
                raise RuntimeError("the device has stopped")
        return future.result()

    @property
    def busy(self) -> bool:
        """Whether a batch runs that is likely to take long enough for a rest. May be asked on any thread."""
        return self._rest >= SHORTEST_REST and not self._waits.is_set()

    def rest(self) -> None:
        """Waits for a moment, but not longer than batches run. May be called on any thread."""
        self._waits.wait(self._rest)

    def _put(self, batcher: Batcher, work: Work) -> None:
        self._inbox.put((batcher, work))

    def _main(self) -> None:
        while self._run_one():
            pass  # no variable here keeps a version that was replaced from being freed
        self._waits.set()

    def _run_one(self) -> bool:
        """Runs the next batch. Returns False if nothing is left and no more requests can arrive."""
        if (batcher := self._next()) is None:
            return False
        begin = time.monotonic()
        batch, answers = batcher.take(begin)
        if batch:
            answers += batcher.run(batch)
            self._rest = min(LONGEST_REST, REST * (time.monotonic() - begin))
        if not batcher.queue:
            self._active.remove(batcher)
        self._loop.call_soon_threadsafe(batcher.deliver, answers)
        return True

    def _next(self) -> Batcher | None:
        """Waits for a batch to run and returns its batcher. If None, nothing is left and no more can arrive."""
        while True:
            while not self._inbox.empty():
                self._accept(self._inbox.get())
            if len(self._active) == 1 and not self._active[0].queue.max_wait:
                return self._active[0]  # the common case
            now = time.monotonic()
            if ready := [one for one in self._active if self._stopping or one.queue.ready_at() <= now]:
                return min(ready, key=lambda one: one.queue.due())
            if self._stopping:
                return None
            self._wait(now)

    def _wait(self, now: float) -> None:
        """Waits for a request, for a batch that becomes ready, or for the device to count as idle."""
        seconds = max(QUIET, self._spare[0][0] - now) if self._spare else None
        if self._active:
            seconds = min(one.queue.ready_at() for one in self._active) - now
        self._waits.set()
        try:
            self._accept(self._inbox.get(timeout=seconds))
        except queue.Empty:
            if not self._active:
                heapq.heappop(self._spare)[2]()
        finally:
            self._waits.clear()

    def _accept(self, entry: tuple[Batcher, Work] | Job | None) -> None:
        if entry is None:
            self._stopping = True
            return
        if callable(entry):
            entry()
            return
        batcher, work = entry
        if not batcher.queue:
            self._active.append(batcher)
        batcher.queue.append(work)
