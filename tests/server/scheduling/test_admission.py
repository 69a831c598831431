"""Requests that are refused, cancelled or late never reach the device."""

import asyncio
import contextlib
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from resprobe_server.errors import Expired, QueueFull
from resprobe_server.scheduling.batcher import BatchOptions
from resprobe_server.scheduling.request import Outcome
from resprobe_server.scheduling.worker import Device

from tests.support.recorder import Recorder, numbers


def test_what_was_cancelled_or_is_late_never_reaches_the_device() -> None:
    async def drive() -> None:
        graph = Recorder(held=True)
        async with Device() as device:
            batcher = device.batcher(graph, BatchOptions(8, 100))
            first = batcher.submit(numbers(0, 1))
            await graph.until_entered()
            late = batcher.submit(numbers(10, 1), deadline=time.monotonic() - 1e-6)
            gone = batcher.submit(numbers(20, 1))
            kept = batcher.submit(numbers(30, 1))
            gone.cancel()
            graph.go.set()
            await asyncio.gather(first, kept)
            with pytest.raises(Expired, match="deadline passed"):
                await late
        assert graph.batches == [[0], [30]]
        assert batcher.pending == 0

    asyncio.run(drive())


def test_the_rest_of_a_split_request_is_dropped_when_its_caller_goes() -> None:
    async def drive() -> None:
        graph = Recorder(held=True)
        async with Device() as device:
            batcher = device.batcher(graph, BatchOptions(2, 100))
            large = batcher.submit(numbers(0, 6))
            await graph.until_entered()
            large.cancel()
            graph.go.set()
            await batcher.submit(numbers(90, 1))
        assert graph.batches == [[0, 1], [90]]

    asyncio.run(drive())


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def drive() -> None:
        graph = Recorder(held=True)
        async with Device() as device:
            batcher = device.batcher(graph, BatchOptions(2, 3))
            accepted = [batcher.submit(numbers(0, 2)), batcher.submit(numbers(2, 1))]
            with pytest.raises(
                QueueFull, match="3 images are waiting, and 1 more would be over the limit of 3"
            ) as full:
                batcher.submit(numbers(3, 1))
            assert full.value.retry_after > 0
            graph.go.set()
            await asyncio.gather(*accepted)
            assert (await batcher.submit(numbers(0, 9))).output("same").tolist() == list(range(9))

    asyncio.run(drive())


class Settled:
    """A promise that keeps its outcome, and counts down."""

    def __init__(self, left: threading.Semaphore) -> None:
        self.outcome: Outcome | None = None
        self._left = left

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return self.outcome is not None

    def set_result(self, outcome: Outcome, /) -> None:
        self.outcome = outcome
        self._left.release()

    def set_exception(self, error: Exception, /) -> None:
        raise AssertionError(error)


def test_requests_of_several_threads_are_each_answered_with_their_own_rows() -> None:
    threads, requests = 8, 50

    async def drive() -> None:
        settled = threading.Semaphore(0)
        async with Device() as device:
            batcher = device.batcher(Recorder(), BatchOptions(4, 10**6))
            begin = threading.Barrier(threads)

            def add(thread: int) -> list[tuple[int, int, Settled]]:
                begin.wait(10)
                added = []
                for index in range(requests):
                    first, count, promise = 1000 * (thread * requests + index), index % 7 + 1, Settled(settled)
                    batcher.add(numbers(first, count), math.inf, promise)
                    added.append((first, count, promise))
                return added

            with ThreadPoolExecutor(threads) as pool:
                loop = asyncio.get_running_loop()
                added = await asyncio.gather(*(loop.run_in_executor(pool, add, thread) for thread in range(threads)))
            for _ in range(threads * requests):
                assert await asyncio.to_thread(settled.acquire, timeout=30)
            for first, count, promise in (one for some in added for one in some):
                assert promise.outcome is not None
                assert promise.outcome.output("same").tolist() == list(range(first, first + count))
            assert batcher.pending == 0
            assert batcher.counters.served == threads * requests

    asyncio.run(drive())


def test_several_threads_never_exceed_the_queue() -> None:
    threads, requests, limit = 8, 40, 100

    async def drive() -> None:
        graph, settled = Recorder(held=True), threading.Semaphore(0)
        async with Device() as device:
            batcher = device.batcher(graph, BatchOptions(4, limit))
            begin = threading.Barrier(threads)

            def add() -> int:
                begin.wait(10)
                accepted = 0
                for _ in range(requests):
                    with contextlib.suppress(QueueFull):
                        batcher.add(numbers(0, 1), math.inf, Settled(settled))
                        accepted += 1
                return accepted

            with ThreadPoolExecutor(threads) as pool:
                loop = asyncio.get_running_loop()
                accepted = await asyncio.gather(*(loop.run_in_executor(pool, add) for _ in range(threads)))
            assert sum(accepted) == batcher.pending == limit
            assert batcher.counters.refused == threads * requests - limit
            graph.go.set()
            for _ in range(limit):
                assert await asyncio.to_thread(settled.acquire, timeout=30)
            assert batcher.pending == 0

    asyncio.run(drive())
