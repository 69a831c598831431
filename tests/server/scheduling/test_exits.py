"""Requests for an early exit behind a busy device: cancelled and late ones are dropped, all others are answered."""

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from resprobe_server.errors import Expired, QueueFull
from resprobe_server.execution.cascade import Cascade
from resprobe_server.execution.graph import Arrays
from resprobe_server.execution.providers import Provider
from resprobe_server.execution.session import Session
from resprobe_server.scheduling.batcher import Batcher, BatchOptions
from resprobe_server.scheduling.worker import Device

from tests.support.early_exits import PLACES, all_scores, expected, far_from_confidences


def inputs(images: np.ndarray, threshold: float) -> Arrays:
    return {"image": images, "exit_threshold": np.full(len(images), threshold, np.float32)}


@asynccontextmanager
async def held(cut: Path, max_queue: int = 100) -> AsyncIterator[tuple[Batcher, Cascade, threading.Event]]:
    """A batcher of the parts, on a device that is held until the event is set."""
    go, holds = threading.Event(), threading.Event()
    cascade = Cascade([Session(cut / f"cut/1/exit.{part}.onnx", Provider(threads=1)) for part in range(3)], PLACES)
    async with Device() as device:

        def hold() -> bool:
            holds.set()
            return go.wait(30)

        waiting = asyncio.create_task(asyncio.to_thread(device.call, hold))
        assert await asyncio.to_thread(holds.wait, 30)
        try:
            yield device.batcher(cascade, BatchOptions(4, max_queue)), cascade, go
        finally:
            go.set()
            await waiting


def test_cancelled_and_late_requests_are_dropped_and_no_other(cut: Path, test_images: np.ndarray) -> None:
    scores = all_scores(cut / "cut/1", test_images[:40])
    threshold = far_from_confidences(scores, 0.3)

    async def main() -> None:
        async with held(cut) as (batcher, cascade, go):
            first, cancelled, late, last = (
                batcher.submit(inputs(test_images[at : at + 10], threshold), deadline)
                for at, deadline in ((0, math.inf), (10, math.inf), (20, time.monotonic()), (30, math.inf))
            )
            cancelled.cancel()
            go.set()
            with pytest.raises(Expired):
                await late
            for at, found in ((0, await first), (30, await last)):
                leaves, _ = expected(scores[:, at : at + 10], threshold)
                assert found.output("exit_block").tolist() == [PLACES[part] for part in leaves]
                chosen = scores[leaves, np.arange(at, at + 10)]
                np.testing.assert_allclose(found.output("logits").astype(float), chosen, rtol=1e-3, atol=1e-3)
            assert sum(cascade.counts) == 20  # the others never reached the device
            assert (batcher.counters.cancelled, batcher.counters.expired) == (1, 1)
        assert batcher.pending == 0

    asyncio.run(main())


def test_the_queue_is_bounded(cut: Path, test_images: np.ndarray) -> None:
    async def main() -> None:
        async with held(cut, max_queue=10) as (batcher, _, go):
            accepted = batcher.submit(inputs(test_images[:10], 0.5))
            with pytest.raises(QueueFull):
                batcher.submit(inputs(test_images[:1], 0.5))
            go.set()
            assert len((await accepted).output("logits")) == 10

    asyncio.run(main())


def test_confidences_that_are_no_numbers_leave_nowhere() -> None:
    class Part:
        def run(self, _: Arrays) -> Arrays:
            return {"logits": np.full((2, 3), np.nan, np.float32), "next_state": np.zeros((2, 1), np.float32)}

    found = Cascade([Part(), Part()], [0, 4]).run(inputs(np.zeros((2, 1), np.uint8), 0.01))
    assert found["exit_block"].tolist() == [4, 4]
