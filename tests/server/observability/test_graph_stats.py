"""Counters agree with the work of a batcher, whether requests were split, refused, dropped or failed."""

import asyncio
import threading
import time
from bisect import bisect_left

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resprobe_server.errors import QueueFull
from resprobe_server.execution.graph import Arrays
from resprobe_server.scheduling.batcher import Batcher, BatchOptions
from resprobe_server.scheduling.graph_stats import SECONDS, Histogram
from resprobe_server.scheduling.worker import Device

FINITE = st.floats(0, 100)


@given(batches=st.lists(st.lists(FINITE, max_size=9).map(sorted)), descending=st.booleans())
def test_a_histogram_has_every_value_in_the_first_bucket_that_holds_it(
    batches: list[list[float]], descending: bool
) -> None:
    histogram = Histogram()
    expected = [0] * (len(SECONDS) + 1)
    for values in batches:
        histogram.add(values[::-1] if descending else values)
        for value in values:
            expected[bisect_left(SECONDS, value)] += 1
    assert histogram.counts == expected
    assert histogram.count == sum(map(len, batches))
    assert histogram.sum == pytest.approx(sum(map(sum, batches)))


def test_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 2.0, 2.1):
        histogram.add((value,))
    assert histogram.counts == [2, 1, 1]


class Gate:
    """A graph that reports when it runs, waits until it is released, and fails at the number 13."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()

    def run(self, inputs: Arrays) -> Arrays:
        self.entered.set()
        assert self.go.wait(10)
        if 13 in inputs["image"]:
            raise RuntimeError("out of memory")
        return {"same": inputs["image"]}


def numbers(start: int, count: int) -> dict[str, npt.NDArray[np.generic]]:
    return {"image": np.arange(start, start + count)}


async def live(batcher: Batcher, gate: Gate) -> None:
    """Fills a queue of 16 behind a batch that is held, and lets it run."""
    futures = [batcher.submit(numbers(100, 2))]
    await asyncio.to_thread(gate.entered.wait, 10)
    gone = batcher.submit(numbers(200, 1))
    futures += [
        gone,
        batcher.submit(numbers(300, 1), deadline=time.monotonic() - 1),
        batcher.submit(numbers(400, 6)),  # runs as 4 and 2
        batcher.submit(numbers(500, 2)),
        batcher.submit(numbers(13, 1)),
    ]
    with pytest.raises(QueueFull):
        batcher.submit(numbers(600, 9))
    gone.cancel()
    gate.go.set()
    await asyncio.gather(*futures, return_exceptions=True)


def test_what_a_batcher_did() -> None:
    async def drive() -> Batcher:
        gate = Gate()
        async with Device() as device:
            batcher = device.batcher(gate, BatchOptions(4, 16))
            await live(batcher, gate)
        return batcher

    begin = time.monotonic()
    counters = asyncio.run(drive()).counters
    passed = time.monotonic() - begin
    assert counters.sizes == [0, 0, 1, 0, 2]
    assert (counters.images, counters.batches) == (10, 3)
    assert (counters.served, counters.failed) == (3, 1)
    assert (counters.refused, counters.cancelled, counters.expired) == (1, 1, 1)
    assert counters.queue.count == 3  # of those whose batch ran; a split one waited once
    assert counters.inference.count == 3
    assert counters.inference.sum == pytest.approx(sum(counters.size_seconds[1]))
    for seconds, stage in zip(counters.size_seconds, counters.stages, strict=True):
        assert seconds[3] == 0 < seconds[4]
        assert 0 < stage < counters.served_seconds
    assert 0 < counters.queue.sum < counters.served_seconds <= 3 * passed
    assert 0 < counters.failed_seconds < passed
    assert abs(time.time() - counters.last) < passed + 60


def test_nothing_done_is_all_zeros() -> None:
    counters = Batcher(Gate(), lambda *_: None, BatchOptions(4, 16)).counters
    assert (counters.images, counters.batches, counters.queue.count, counters.last) == (0, 0, 0, 0)
