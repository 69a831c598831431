"""The thread that owns a device and runs one batch at a time on it, so that graphs never fight for the same cores.

A batch runs as soon as the device is free: nobody waits for a timer while it is idle, and while one batch runs the
next gathers. The event loop and this thread meet in one queue, and in one call back into the loop for each batch.
"""

import asyncio
import queue
import threading
import time

from resprobe_server.batching import Batcher, Graph, Work


class Device:
    """Use it as an asynchronous context; leaving it runs all that was accepted and ends the thread."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[tuple[Batcher, Work] | None] = queue.SimpleQueue()
        self._active: list[Batcher] = []  # those with something waiting
        self._stopping = False
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
        self, graph: Graph, max_batch: int, max_queue: int, max_wait: float = 0.0, urgent: bool = True
    ) -> Batcher:
        """A batcher for a graph that is to run on this device; see Batcher for the arguments."""
        return Batcher(graph, self._put, max_batch, max_queue, max_wait, urgent)

    def _put(self, batcher: Batcher, work: Work) -> None:
        self._inbox.put((batcher, work))

    def _main(self) -> None:
        while self._wait():
            self._run_one()  # what it holds is let go of while nothing is to do: a version that was replaced is freed

    def _run_one(self) -> None:
        batcher = min(self._active, key=Batcher.due)
        batch, answers = batcher.take(time.monotonic())
        if batch:
            answers += batcher.run(batch)
        if not batcher.waiting:
            self._active.remove(batcher)
        self._loop.call_soon_threadsafe(batcher.deliver, answers)

    def _wait(self) -> bool:
        """Waits until a batch is to run. False: nothing is left, and nothing will come."""
        while True:
            while not self._inbox.empty():
                self._accept(self._inbox.get())
            seconds = None
            if self._active:
                seconds = min(self._active, key=Batcher.due).ready_at() - time.monotonic()
            if self._stopping or (seconds is not None and seconds <= 0):
                return bool(self._active)
            try:
                self._accept(self._inbox.get(timeout=seconds))
            except queue.Empty:
                return True

    def _accept(self, entry: tuple[Batcher, Work] | None) -> None:
        if entry is None:
            self._stopping = True
            return
        batcher, work = entry
        if not batcher.waiting:
            self._active.append(batcher)
        batcher.enqueue(work)
