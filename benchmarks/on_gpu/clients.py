"""Load on a server from several processes, because one process cannot send as fast as a GPU answers."""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from serving import Clock, requests_of, stream, unary
from support.server_process import ServerProcess

WARM_UP = 0.3  # seconds of load before it counts


@dataclass(frozen=True)
class Load:
    """Load on a server: requests in flight, images in each, and number of client processes."""

    name: str
    in_flight: int
    images: int = 1
    streamed: bool = False
    clients: int = 4


@dataclass(frozen=True)
class Seen:
    """Measurements of a load: images/s, cores that the server kept busy, and the seconds to each response."""

    rate: float
    cores: float
    latencies: list[float]


class Clients:
    """Client processes."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def ask(self, server: ServerProcess, model: str, load: Load, seconds: float) -> Seen:
        """Puts a load on a server and measures the responses that arrive within `seconds`, after a warm-up."""
        begin = time.perf_counter() + WARM_UP
        spent, since = server.cpu_seconds(), time.perf_counter()
        share = load.in_flight // load.clients
        tasks = [
            self._pool.submit(_answers, server.address, model, load, share, begin, begin + seconds)
            for _ in range(load.clients)
        ]
        latencies = [one for task in tasks for one in task.result()]
        cores = (server.cpu_seconds() - spent) / (time.perf_counter() - since)
        return Seen(len(latencies) * load.images / seconds, cores, latencies)


@contextmanager
def started(count: int) -> Iterator[Clients]:
    """A context with so many client processes, ready to send."""
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        ready: set[int] = set()
        while len(ready) < count:
            ready.update(pool.map(_process, range(4 * count)))
        yield Clients(pool)


def _process(_: int) -> int:
    time.sleep(0.01)  # so that others get a turn too
    return os.getpid()


def _answers(address: str, name: str, load: Load, in_flight: int, begin: float, end: float) -> list[float]:
    """Returns the seconds to each response that arrived between two times on the clock that all processes share."""

    async def ask() -> list[float]:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = ResidualServiceStub(channel)
            model = await stub.GetModel(pb.GetModelRequest(name=name))
            plain, _ = requests_of(model, load.images)
            clock = Clock(begin, end)
            await (stream if load.streamed else unary)(stub, clock, [plain], in_flight)
            return clock.latencies

    return asyncio.run(ask())
