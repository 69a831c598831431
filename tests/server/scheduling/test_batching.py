"""Batching: no row ever goes to another request, whatever is sent, split, cancelled or late."""

import asyncio
import math
import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resprobe_server.errors import Expired, QueueFull
from resprobe_server.execution.graph import Arrays
from resprobe_server.execution.providers import Provider
from resprobe_server.execution.session import Session
from resprobe_server.scheduling import request_queue
from resprobe_server.scheduling.batcher import Batcher, BatchOptions
from resprobe_server.scheduling.request import Outcome, Work
from resprobe_server.scheduling.worker import Device

REQUESTS = st.lists(
    st.tuples(
        st.integers(1, 21),  # images
        st.booleans(),  # with block statistics
        st.sampled_from(["", "", "", "cancel at once", "cancel later", "expired"]),
    ),
    min_size=1,
    max_size=25,
)


@pytest.fixture(scope="module")
def sessions(repository: Path) -> tuple[Session, Session]:
    directory = repository / "digits" / "1"
    return Session(directory / "model.onnx", Provider(threads=1)), Session(
        directory / "probe.onnx", Provider(threads=1)
    )


@given(requests=REQUESTS, max_batch=st.integers(1, 9), max_wait=st.sampled_from([0, 0.002]))
@settings(deadline=None, max_examples=60)
def test_every_row_goes_to_the_request_that_asked(
    sessions: tuple[Session, Session],
    test_images: npt.NDArray[np.uint8],
    requests: list[tuple[int, bool, str]],
    max_batch: int,
    max_wait: float,
) -> None:
    async def drive() -> None:
        async with Device() as device:
            lean, probe = (device.batcher(session, BatchOptions(max_batch, 10**6, max_wait)) for session in sessions)
            futures, at = [], 0
            for count, with_blocks, fate in requests:
                images = test_images[at : at + count]
                at = (at + count) % 300
                deadline = time.monotonic() - 1 if fate == "expired" else math.inf
                future = (probe if with_blocks else lean).submit({"image": images}, deadline)
                if fate == "cancel at once":
                    future.cancel()
                futures.append((future, images, with_blocks, fate))
            await asyncio.sleep(0)
            for future, _, _, fate in futures:
                if fate == "cancel later":
                    future.cancel()
            answers = await asyncio.gather(*(future for future, *_ in futures), return_exceptions=True)
            for answer, (_, images, with_blocks, fate) in zip(answers, futures, strict=True):
                check_answer(answer, images, with_blocks, fate)
        assert (lean.pending, probe.pending) == (0, 0)

    def check_answer(answer: object, images: npt.NDArray[np.uint8], with_blocks: bool, fate: str) -> None:
        if fate == "expired":
            assert isinstance(answer, Expired)
        elif fate.startswith("cancel"):
            assert isinstance(answer, asyncio.CancelledError)
        else:
            assert isinstance(answer, Outcome)
            assert answer.batch_size <= max_batch
            expected = sessions[with_blocks].run({"image": images})
            assert answer.results.arrays.keys() == expected.keys()
            for name, array in expected.items():
                assert np.allclose(answer.output(name), array, rtol=1e-4, atol=1e-4)

    asyncio.run(drive())


class Recorder:
    """A graph that returns what it gets, notes every batch, and waits to be let go on."""

    def __init__(self, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.entered = threading.Event()
        if not held:
            self.go.set()

    def run(self, inputs: Arrays) -> Arrays:
        self.batches.append(inputs["image"].tolist())
        self.entered.set()
        assert self.go.wait(10)
        return {"same": inputs["image"]}

    async def until_entered(self) -> None:
        await asyncio.to_thread(self.entered.wait, 10)


def numbers(start: int, count: int) -> dict[str, npt.NDArray[np.generic]]:
    return {"image": np.arange(start, start + count)}


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


def test_a_large_request_is_split_and_joined_in_order() -> None:
    async def drive() -> None:
        graph = Recorder()
        async with Device() as device:
            outcome = await device.batcher(graph, BatchOptions(4, 2)).submit(numbers(0, 10))
        assert graph.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert outcome.output("same").tolist() == list(range(10))
        assert outcome.batch_size == 4

    asyncio.run(drive())


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


def test_a_batch_that_fails_tells_its_requests_and_nobody_else() -> None:
    class Fragile(Recorder):
        def run(self, inputs: Arrays) -> Arrays:
            outputs = super().run(inputs)
            if 13 in inputs["image"]:
                raise RuntimeError("out of memory")
            return outputs

    async def drive() -> None:
        graph = Fragile(held=True)
        async with Device() as device:
            batcher = device.batcher(graph, BatchOptions(2, 100))
            futures = [batcher.submit(numbers(0, 1))]
            await graph.until_entered()
            futures += [batcher.submit(numbers(start, count)) for start, count in ((1, 1), (12, 5), (20, 1))]
            graph.go.set()
            answers = await asyncio.gather(*futures, return_exceptions=True)
        kinds = [type(answer) for answer in answers]
        assert kinds == [Outcome, Outcome, RuntimeError, Outcome]
        assert graph.batches == [[0], [1, 12], [13, 14], [20]]  # 15 and 16 are not run any more
        assert batcher.pending == 0

    asyncio.run(drive())


def test_a_graph_that_loses_rows_is_caught() -> None:
    class Lossy:
        def run(self, inputs: Arrays) -> Arrays:
            return {"same": inputs["image"][1:]}

    async def drive() -> None:
        async with Device() as device:
            with pytest.raises(RuntimeError, match="a batch of 3 images came back with"):
                await device.batcher(Lossy(), BatchOptions(4, 10)).submit(numbers(0, 3))

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
    """`place` is after how many of the four that wait for one graph the single request for another has its turn."""
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


def test_leaving_runs_what_was_accepted() -> None:
    async def drive() -> None:
        graph = Recorder()
        async with Device() as device:
            batcher = device.batcher(graph, BatchOptions(2, 100, max_wait=60))
            futures = [batcher.submit(numbers(index, 1)) for index in range(3)]
        assert [future.result().output("same").tolist() for future in futures] == [[0], [1], [2]]

    asyncio.run(drive())
