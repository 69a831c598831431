"""The thread that owns a device and runs one batch at a time on it, so that graphs never fight for the same cores.

A batch runs as soon as the device is free: nobody waits for a timer while it is idle, and while one batch runs the
next gathers. The event loop and this thread meet in one queue, and in one call back into the loop for each batch.
Who prepares requests may rest while a batch runs: what comes meanwhile costs less in one go.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from resprobe_server.execution.session import Graph
from resprobe_server.scheduling.batcher import Batcher
from resprobe_server.scheduling.budget import Budget
from resprobe_server.scheduling.request import Work

if TYPE_CHECKING:
    from resprobe_server.observability.traces import Tracing

QUIET = 0.005  # seconds without a request after which the device counts as idle
SHORTEST_REST, LONGEST_REST = 0.0005, 0.002  # seconds
REST = 0.2  # the share of a batch's time that the poller rests


class Device:
    """Use it as an asynchronous context; leaving it runs all that was accepted and ends the thread."""

    def __init__(self, tracing: "Tracing | None" = None, budget: Budget | None = None) -> None:
        """Makes it.

        Args:
            tracing: Traces requests. If None, there are no traces.
            budget: Of the bytes that wait for all graphs. If None, they are not bounded.
        """
        self._tracing, self._budget = tracing, budget or Budget()
        self._inbox: queue.SimpleQueue[tuple[Batcher, Work] | None] = queue.SimpleQueue()
        self._active: list[Batcher] = []  # those with something waiting
        self._spare: deque[Callable[[], None]] = deque()  # what runs while nothing is wanted
        self._stopping = False
        self._waits = threading.Event()  # set while no batch is to run
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

    def batcher(
        self,
        graph: Graph,
        max_batch: int,
        max_queue: int,
        max_wait: float = 0.0,
        urgent: bool = True,
        name: str = "",
        uniform: bool = True,
    ) -> Batcher:
        """A batcher for a graph that is to run on this device; see Batcher for the arguments."""
        limits = max_batch, max_queue, max_wait
        return Batcher(graph, self._put, *limits, urgent, name, self._tracing, uniform, self._budget)

    def when_idle(self, job: Callable[[], None]) -> None:
        """Runs a short job that must not raise, once nobody has wanted the device for a moment; it may be never.

        Call it on the device's thread, which is where the job runs.
        """
        self._spare.append(job)

    @property
    def busy(self) -> bool:
        """Whether a batch runs that is likely to take long enough for a rest. On any thread."""
        return self._rest >= SHORTEST_REST and not self._waits.is_set()

    def rest(self) -> None:
        """Waits for a moment, and no longer than batches run. On any thread."""
        self._waits.wait(self._rest)

    def _put(self, batcher: Batcher, work: Work) -> None:
        self._inbox.put((batcher, work))

    def _main(self) -> None:
        while self._run_one():
            pass  # what it held is let go of while nothing is to do: a version that was replaced is freed
        self._waits.set()

    def _run_one(self) -> bool:
        """Runs the next batch. False: nothing is left, and nothing will come."""
        if (batcher := self._next()) is None:
            return False
        begin = time.monotonic()
        batch, answers = batcher.take(begin)
        if batch:
            answers += batcher.run(batch)
            self._rest = min(LONGEST_REST, REST * (time.monotonic() - begin))
        if not batcher.waiting:
            self._active.remove(batcher)
        self._loop.call_soon_threadsafe(batcher.deliver, answers)
        return True

    def _next(self) -> Batcher | None:
        """Waits until a batch is to run and returns its batcher. If None, nothing is left, and nothing will come."""
        while True:
            while not self._inbox.empty():
                self._accept(self._inbox.get())
            if len(self._active) == 1 and not self._active[0].max_wait:
                return self._active[0]  # the common case
            now = time.monotonic()
            if ready := [one for one in self._active if self._stopping or one.ready_at() <= now]:
                return min(ready, key=Batcher.due)
            if self._stopping:
                return None
            seconds = QUIET if self._spare else None
            if self._active:
                seconds = min(one.ready_at() for one in self._active) - now
            self._waits.set()
            try:
                self._accept(self._inbox.get(timeout=seconds))
            except queue.Empty:
                if not self._active:
                    self._spare.popleft()()
            finally:
                self._waits.clear()

    def _accept(self, entry: tuple[Batcher, Work] | None) -> None:
        if entry is None:
            self._stopping = True
            return
        batcher, work = entry
        if not batcher.waiting:
            self._active.append(batcher)
        batcher.enqueue(work)
