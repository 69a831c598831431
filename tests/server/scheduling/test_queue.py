"""Requests behind a busy device, over a real channel: those of a client that cancels are dropped, and never run."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.execution.graph import Arrays
from resprobe_server.execution.session import Session
from resprobe_server.rpc.context import Reply
from resprobe_server.rpc.request_stream import Turn
from resprobe_server.scheduling.batcher import Batcher
from resprobe_server.scheduling.graph_stats import Counters
from resprobe_server.scheduling.request import Outcome, Promise

from tests.support.servers import Serve

Add: TypeAlias = Callable[[Batcher, Arrays, float, Promise, int], None]


class Told:
    """A promise that reports when it is settled, or when its call has ended."""

    def __init__(self, promise: Reply | Turn, ended: threading.Semaphore) -> None:
        self.cancelled, self.done = promise.cancelled, promise.done
        self._promise, self._ended, self._told = promise, ended, False
        promise._call.add_done_callback(lambda _: self.tell())

    def set_result(self, outcome: Outcome, /) -> None:
        self._promise.set_result(outcome)
        self.tell()

    def set_exception(self, error: Exception, /) -> None:
        self._promise.set_exception(error)
        self.tell()

    def tell(self) -> None:
        if not self._told:
            self._told = True
            self._ended.release()


class Watch:
    """Holds the device, and records the images that reach it and the requests that are submitted."""

    def __init__(self) -> None:
        self.seen: list[int] = []  # the first pixel of every image that the device ran
        self.entered, self.go = threading.Event(), threading.Event()
        self.submitted, self.ended = threading.Semaphore(0), threading.Semaphore(0)
        self.counters: Counters

    def wrap_run(self, run: Callable[[Session, Arrays], Arrays]) -> Callable[[Session, Arrays], Arrays]:
        def held(session: Session, inputs: Arrays) -> Arrays:
            self.seen += inputs["image"][:, 0, 0, 0].tolist()
            self.entered.set()
            assert self.go.wait(30)
            return run(session, inputs)

        return held

    def wrap_add(self, add: Add) -> Add:
        def told(batcher: Batcher, inputs: Arrays, deadline: float, promise: Promise, size: int) -> None:
            assert isinstance(promise, (Reply, Turn))  # these requests are taken directly
            add(batcher, inputs, deadline, Told(promise, self.ended), size)
            self.counters = batcher.counters
            self.submitted.release()

        return told

    async def wait(self, event: threading.Semaphore, times: int) -> None:
        for _ in range(times):
            assert await asyncio.to_thread(event.acquire, timeout=30)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def busy(start: Serve, repository: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server whose device is held until `watch.go`; loading is over by then."""
    with start(repository, max_batch=4) as address:
        monkeypatch.setattr(Session, "run", watch.wrap_run(Session.run))
        monkeypatch.setattr(Batcher, "add", watch.wrap_add(Batcher.add))
        yield address


def request(pixel: int, count: int = 1) -> pb.ClassifyRequest:
    images: npt.NDArray[np.uint8] = np.full((count, 64), pixel, np.uint8)
    pixels = [pb.Pixels(height=8, width=8, channels=1, data=image.tobytes()) for image in images]
    return pb.ClassifyRequest(id=str(pixel), model="digits", images=[pb.Image(pixels=one) for one in pixels])


def test_a_cancelled_call_never_reaches_the_device(busy: str, watch: Watch) -> None:
    async def drive() -> None:
        async with grpc.aio.insecure_channel(busy) as channel:
            stub = ResidualServiceStub(channel)
            first = stub.Classify(request(1))
            await asyncio.to_thread(watch.entered.wait, 30)
            gone, kept = stub.Classify(request(2)), stub.Classify(request(3))
            await watch.wait(watch.submitted, 3)
            gone.cancel()
            await watch.wait(watch.ended, 1)
            watch.go.set()
            assert [(await call).id for call in (first, kept)] == ["1", "3"]

    asyncio.run(drive())
    assert watch.seen == [1, 3]
    assert (watch.counters.cancelled, watch.counters.expired, watch.counters.served) == (1, 0, 2)


def test_a_call_whose_deadline_passes_never_reaches_the_device(busy: str, watch: Watch) -> None:
    async def drive() -> None:
        async with grpc.aio.insecure_channel(busy) as channel:
            stub = ResidualServiceStub(channel)
            first = stub.Classify(request(1))
            await asyncio.to_thread(watch.entered.wait, 30)
            late = stub.Classify(request(2), timeout=0.3)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await late
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            await watch.wait(watch.submitted, 2)
            await watch.wait(watch.ended, 1)
            watch.go.set()
            assert (await first).id == "1"
            assert (await stub.Classify(request(3))).id == "3"

    asyncio.run(drive())
    assert watch.seen == [1, 3]
    # The caller's own clock may cancel it a moment before its deadline passes here.
    assert watch.counters.cancelled + watch.counters.expired == 1


def test_a_cancelled_stream_drops_what_it_has_queued(busy: str, watch: Watch) -> None:
    async def requests() -> AsyncIterator[pb.ClassifyRequest]:
        for pixel in range(2, 12):
            yield request(pixel)
        await asyncio.Event().wait()  # a stream that stays open

    async def drive() -> None:
        async with grpc.aio.insecure_channel(busy) as channel:
            stub = ResidualServiceStub(channel)
            first = stub.Classify(request(1))
            await asyncio.to_thread(watch.entered.wait, 30)
            stream = stub.ClassifyStream(requests())
            await watch.wait(watch.submitted, 11)
            stream.cancel()
            await watch.wait(watch.ended, 10)
            watch.go.set()
            assert (await first).id == "1"
            assert (await stub.Classify(request(90))).id == "90"

    asyncio.run(drive())
    assert watch.seen == [1, 90]
    assert watch.counters.cancelled == 10


def test_a_stream_cancelled_while_its_answers_are_not_read_drops_the_rest(busy: str, watch: Watch) -> None:
    large = 3000  # images: their answer is more than what gRPC takes without a reader

    async def requests() -> AsyncIterator[pb.ClassifyRequest]:
        yield request(1, large)
        await watch.wait(watch.ended, 1)
        watch.go.clear()
        watch.entered.clear()
        yield request(2)
        await asyncio.to_thread(watch.entered.wait, 30)
        yield request(3)
        await asyncio.Event().wait()

    async def drive() -> None:
        watch.go.set()
        async with grpc.aio.insecure_channel(busy) as channel:
            stub = ResidualServiceStub(channel)
            stream = stub.ClassifyStream(requests())
            await watch.wait(watch.submitted, 3)
            stream.cancel()
            await watch.wait(watch.ended, 2)
            watch.go.set()
            assert (await stub.Classify(request(90))).id == "90"

    asyncio.run(drive())
    assert watch.seen == [1] * large + [2, 90]
