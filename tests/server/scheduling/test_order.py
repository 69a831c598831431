"""Which batch runs next, and when: classification before analysis, without starving a graph."""

import asyncio
import math
import threading
import time

import pytest
from resprobe_server.execution.graph import Arrays
from resprobe_server.scheduling import request_queue
from resprobe_server.scheduling.batcher import Batcher, BatchOptions
from resprobe_server.scheduling.request import Work
from resprobe_server.scheduling.worker import Device

from tests.support.recorder import Recorder, numbers


def test_while_a_batch_runs_the_next_gathers() -> None:
    async def drive() -> None:
        graph = Recorder(held=True)
        async with Device() as device:
            batcher = device.batcher(graph, BatchOptions(4, 100))
            futures = [batcher.submit(numbers(0, 1))]
            await graph.until_entered()
            futures += [batcher.submit(numbers(index, 1)) for index in range(1, 7)]
            graph.go.set()
            outcomes = await asyncio.gather(*futures)
        assert graph.batches == [[0], [1, 2, 3, 4], [5, 6]]
        assert [outcome.batch_size for outcome in outcomes] == [1, 4, 4, 4, 4, 2, 2]
        assert all(outcome.queued >= 0 and outcome.ran >= 0 for outcome in outcomes)

    asyncio.run(drive())


def test_classification_goes_ahead_of_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_queue, "PATIENCE", 60)

    async def drive() -> None:
        graph = Recorder(held=True)
        async with Device() as device:
            analysis, urgent = (device.batcher(graph, BatchOptions(1, 100, urgent=urgent)) for urgent in (False, True))
            futures = [urgent.submit(numbers(0, 1))]
            await graph.until_entered()
            futures += [analysis.submit(numbers(10, 1)), urgent.submit(numbers(1, 1)), analysis.submit(numbers(11, 1))]
            graph.go.set()
            await asyncio.gather(*futures)
        assert graph.batches == [[0], [1], [10], [11]]

    asyncio.run(drive())


@pytest.mark.parametrize(
    ("urgent", "backlog_arrived", "one_arrived", "place"),
    [
        pytest.param((True, False), -9, -5, 1, id="an analysis behind many classifications"),
        pytest.param((False, True), -9, 0, 1, id="a classification behind many analyses"),
        pytest.param((True, True), -9, 0, 1, id="a classification behind many of another model"),
        pytest.param((True, False), 0, 0, 4, id="an analysis that has not waited long"),
    ],
)
def test_a_long_queue_starves_nobody(
    urgent: tuple[bool, bool],
    backlog_arrived: float,
    one_arrived: float,
    place: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`place` is the number of batches of the long queue that run before the single request for the other graph."""
    monkeypatch.setattr(request_queue, "PATIENCE", 1)

    async def drive() -> None:
        graph, now, future = Recorder(), time.monotonic(), asyncio.get_running_loop().create_future()
        many, one = (Batcher(graph, lambda *_: None, BatchOptions(1, 9, urgent=which)) for which in urgent)
        for index in range(4):
            many.queue.append(Work(numbers(index, 1), 1, math.inf, now + backlog_arrived, future))
        one.queue.append(Work(numbers(99, 1), 1, math.inf, now + one_arrived, future))
        while ready := [batcher for batcher in (many, one) if batcher.queue]:
            turn = min(ready, key=lambda batcher: batcher.queue.due())
            turn.run(turn.take(now)[0])
        assert graph.batches.index([99]) == place

    asyncio.run(drive())


def test_a_batch_that_is_full_does_not_wait_behind_one_that_is_not() -> None:
    async def drive() -> None:
        graph = Recorder()
        async with Device() as device:
            patient, full = (device.batcher(graph, BatchOptions(size, 100, max_wait=60)) for size in (9, 1))
            waits = patient.submit(numbers(0, 1))
            await full.submit(numbers(1, 1))
            assert not waits.done()
        assert graph.batches == [[1], [0]]

    asyncio.run(drive())


def test_spare_work_runs_on_an_idle_device_only() -> None:
    async def drive() -> list[str]:
        order: list[str] = []
        done = threading.Event()

        def spare() -> None:
            order.append("spare")
            done.set()

        class Busy(Recorder):
            def run(self, inputs: Arrays) -> Arrays:
                if not order:
                    device.when_idle(spare)
                order.append("batch")
                return super().run(inputs)

        async with Device() as device:
            batcher = device.batcher(Busy(), BatchOptions(1, 100))
            await asyncio.gather(*(batcher.submit(numbers(index, 1)) for index in range(5)))
            assert await asyncio.to_thread(done.wait, 10)
        return order

    assert asyncio.run(drive()) == ["batch"] * 5 + ["spare"]


def test_a_function_is_called_on_the_devices_thread_between_batches() -> None:
    def fail() -> None:
        raise ValueError("no such size")

    async def drive() -> list[str]:
        here = Device()
        assert here.call(lambda: threading.current_thread()) is threading.current_thread()  # not started yet
        async with Device() as device:
            batcher = device.batcher(Recorder(), BatchOptions(1, 100))
            name = asyncio.to_thread(device.call, lambda: threading.current_thread().name)
            *_, found = await asyncio.gather(*(batcher.submit(numbers(index, 1)) for index in range(5)), name)
            with pytest.raises(ValueError, match="no such size"):
                await asyncio.to_thread(device.call, fail)
        with pytest.raises(RuntimeError, match="has stopped"):
            await asyncio.to_thread(device.call, fail)
        return [str(found)]

    assert asyncio.run(drive()) == ["device"]


def test_who_rests_does_so_while_a_batch_runs_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resprobe_server.scheduling.worker.LONGEST_REST", 20.0)
    monkeypatch.setattr("resprobe_server.scheduling.worker.REST", 1e12)

    async def drive() -> list[str]:
        order: list[str] = []
        resting = threading.Event()

        class Slow(Recorder):
            def run(self, inputs: Arrays) -> Arrays:
                found = super().run(inputs)
                order.append("ran")
                return found

        def rest() -> None:
            resting.set()
            device.rest()
            order.append("rested")

        async with Device() as device:
            graph = Slow()
            batcher = device.batcher(graph, BatchOptions(4, 100))
            await batcher.submit(numbers(0, 1))
            await asyncio.to_thread(device.rest)  # nothing runs, or not for long
            graph.go.clear()
            graph.entered.clear()
            future = batcher.submit(numbers(1, 1))
            await graph.until_entered()
            thread = asyncio.create_task(asyncio.to_thread(rest))
            await asyncio.to_thread(resting.wait, 10)
            graph.go.set()
            await asyncio.wait_for(asyncio.gather(future, thread), 10)
        return order

    assert asyncio.run(drive()) == ["ran", "ran", "rested"]


def test_waiting_for_more_is_off_unless_configured() -> None:
    async def drive(max_wait: float) -> list[list[int]]:
        graph = Recorder()
        async with Device() as device:
            batcher = device.batcher(graph, BatchOptions(3, 100, max_wait))
            await asyncio.gather(*(batcher.submit(numbers(index, 1)) for index in range(3)))
        return graph.batches

    assert asyncio.run(drive(60)) == [[0, 1, 2]]  # full: nobody waits for the minute to pass
