"""Resident memory of a server under full load, over minutes of mixed requests: does it stay flat?

    python benchmarks/soak.py models --minutes 10

Starts the server on one inference thread, with metrics on and every tenth request asking for blocks, and keeps
`callers` requests in flight: some unary, some on one stream, some cancelled. After the warm-up it notes the resident
size every second, and reports the first and last tenth of these (medians), the slope of a straight line through all,
and how many images were answered. Exit code 1 where the last is more than 5 % over the first.
"""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import grpc
import numpy as np
import tyro
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from support.server_process import start

if TYPE_CHECKING:  # the stub's two faces are one class at run time
    from resprobe_protos.resprobe_pb2_grpc import ResidualServiceAsyncStub

MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")
Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    repository: tyro.conf.Positional[Path]
    """Model repository to serve."""
    model: str = ""
    """Model to ask. If empty, the only model."""
    minutes: float = 10.0
    """Minutes to measure, after the warm-up."""
    warm_up: float = 30.0
    """Seconds of load before the first measurement."""
    callers: int = 32
    """Number of requests in flight."""
    interval: float = 1.0
    """Seconds between two measurements."""


class Load:
    """Full load of mixed requests on one channel."""

    def __init__(self, stub: "ResidualServiceAsyncStub", model: pb.Model) -> None:
        shape = model.image.height, model.image.width, model.image.channels
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8).tobytes()
        height, width, channels = shape
        self._stub, self._model, self._count = stub, model, itertools.count()
        self._image = pb.Image(pixels=pb.Pixels(height=height, width=width, channels=channels, data=pixels))
        self.answered = 0

    def request(self) -> pb.ClassifyRequest:
        """Returns the next request: 1 to 4 images; every tenth asks for blocks, if the model has any."""
        number = next(self._count)
        view = pb.VIEW_BLOCKS if number % 10 == 0 and self._model.serving.has_blocks else pb.VIEW_BASIC
        return pb.ClassifyRequest(model=self._model.name, images=[self._image] * (1 + number % 4), view=view)

    async def call(self) -> None:
        """Sends one request after the other, and cancels every fiftieth."""
        for number in itertools.count(1):
            call = self._stub.Classify(self.request())
            if number % 50 == 0:
                await asyncio.sleep(0)  # it sets out
                call.cancel()
            else:
                response = await call
                self.answered += len(response.results)

    async def stream(self, in_flight: int) -> None:
        """Sends requests on one stream."""
        room = asyncio.Semaphore(in_flight)

        async def requests() -> AsyncIterator[pb.ClassifyRequest]:
            while True:
                await room.acquire()
                yield self.request()

        async for response in self._stub.ClassifyStream(requests()):
            self.answered += len(response.results)
            room.release()


def resident(pid: int) -> float:
    """Returns the resident size of a process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE / MIB


async def measure(options: Options, port: int, look: Callable[[], Seen]) -> tuple[list[Seen], int]:
    """Returns the measurements under load, and the number of images answered meanwhile."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = ResidualServiceStub(channel)
        model = await stub.GetModel(pb.GetModelRequest(name=options.model))
        load = Load(stub, model)
        half = options.callers // 2
        tasks = [asyncio.create_task(load.call()) for _ in range(options.callers - half)]
        tasks.append(asyncio.create_task(load.stream(half)))
        await asyncio.sleep(options.warm_up)
        seen, end, load.answered = [], time.monotonic() + 60 * options.minutes, 0
        while time.monotonic() < end:
            seen.append(await asyncio.to_thread(look))
            await asyncio.sleep(options.interval)
            for task in tasks:
                if task.done():
                    task.result()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return seen, load.answered


def main() -> None:
    """Runs the benchmark and prints its results."""
    options = tyro.cli(Options, description=__doc__)
    free = ["--metrics-address", "127.0.0.1:0", "--threads", "1"]
    with start(options.repository, *free) as server:
        sizes, answered = asyncio.run(measure(options, server.port, partial(resident, server.pid)))
    tenth = max(1, len(sizes) // 10)
    first, last = float(np.median(sizes[:tenth])), float(np.median(sizes[-tenth:]))
    slope = np.polyfit(np.arange(len(sizes)) / 60, sizes, 1)[0] if len(sizes) > 1 else 0.0
    print(f"{answered / (60 * options.minutes):.0f} images/s for {options.minutes:g} minutes")
    print(f"resident: {first:.1f} MiB at first, {last:.1f} MiB at last ({last / first - 1:+.1%}), {slope:+.2f} MiB/min")
    raise SystemExit(int(last > 1.05 * first))


if __name__ == "__main__":
    main()
