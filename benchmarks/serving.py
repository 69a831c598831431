"""Images/s over resprobe.v1 with single images in flight: unary, on one stream, and with blocks in every tenth request.

    taskset -c 0 resprobe-server models --device cpu --threads 1 &
    taskset -c 1 python benchmarks/serving.py localhost:50051

The loads run by turns, so that a noisy neighbour disturbs all of them; reported are the median rate of each, its ratio
to the first, and the median and 99th percentile of the time to an answer.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import grpc
import numpy as np
import tyro
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub

if TYPE_CHECKING:  # the stub's two faces are one class at run time
    from resprobe_protos.resprobe_pb2_grpc import ResidualServiceAsyncStub


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    address: tyro.conf.Positional[str]
    """HOST:PORT of the server."""
    model: str = ""
    """Model to ask. If empty, the only model."""
    in_flight: int = 64
    """Number of requests in flight, of one image each."""
    seconds: float = 4.0
    """Seconds of each load in a turn that count, after the warm-up."""
    warm_up: float = 1.0
    """Seconds of warm-up of each load in a turn."""
    turns: int = 3
    """Number of turns of each load."""


@dataclass(eq=False)
class Clock:
    """Records the seconds to each response that arrived between `begin` and `end`."""

    begin: float
    end: float
    latencies: list[float] = field(default_factory=list)

    def note(self, sent: float) -> None:
        """Records a response."""
        now = time.perf_counter()
        if self.begin < now < self.end:
            self.latencies.append(now - sent)


def requests_of(model: pb.Model, count: int = 1) -> tuple[pb.ClassifyRequest, pb.ClassifyRequest]:
    """Returns a request of so many images of noise, without and with blocks."""
    shape = model.image.height, model.image.width, model.image.channels
    data = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8).tobytes()
    images = [pb.Image(pixels=pb.Pixels(height=shape[0], width=shape[1], channels=shape[2], data=data))] * count
    plain = pb.ClassifyRequest(model=model.name, images=images)
    return plain, pb.ClassifyRequest(model=model.name, images=images, view=pb.VIEW_BLOCKS)


async def unary(
    stub: "ResidualServiceAsyncStub", clock: Clock, requests: list[pb.ClassifyRequest], in_flight: int
) -> None:
    """Repeats the requests, each as a call of its own."""

    async def caller(at: int) -> None:
        while (sent := time.perf_counter()) < clock.end:
            at = (at + 1) % len(requests)
            response = await stub.Classify(requests[at])
            if len(response.results) != len(requests[at].images):
                raise RuntimeError(f"the server did not answer all images: {response}")
            clock.note(sent)

    await asyncio.gather(*(caller(at) for at in range(in_flight)))


async def stream(
    stub: "ResidualServiceAsyncStub", clock: Clock, requests: list[pb.ClassifyRequest], in_flight: int
) -> None:
    """Repeats the requests on one stream."""
    room = asyncio.Semaphore(in_flight)
    sent: dict[str, float] = {}

    async def send() -> AsyncIterator[pb.ClassifyRequest]:
        number = 0
        while time.perf_counter() < clock.end:
            await room.acquire()
            request = pb.ClassifyRequest()
            request.CopyFrom(requests[number % len(requests)])
            request.id = str(number)
            number += 1
            sent[request.id] = time.perf_counter()
            yield request

    async for response in stub.ClassifyStream(send()):
        if len(response.results) != 1:
            raise RuntimeError(f"the server did not answer one image with one result: {response}")
        clock.note(sent.pop(response.id))
        room.release()


async def measure(options: Options) -> dict[str, list[Clock]]:
    """Returns all loads, by name."""
    async with grpc.aio.insecure_channel(options.address) as channel:
        stub = ResidualServiceStub(channel)
        model = await stub.GetModel(pb.GetModelRequest(name=options.model))
        plain, blocks = requests_of(model)
        loads: dict[str, Callable[[Clock], Awaitable[None]]] = {
            "unary": partial(unary, stub, requests=[plain], in_flight=options.in_flight),
            "one stream": partial(stream, stub, requests=[plain], in_flight=options.in_flight),
        }
        if model.serving.has_blocks:
            tenth = [blocks, *[plain] * 9]
            loads["unary, every tenth with blocks"] = partial(unary, stub, requests=tenth, in_flight=options.in_flight)
        clocks: dict[str, list[Clock]] = {name: [] for name in loads}
        for _ in range(options.turns):
            for name, load in loads.items():
                begin = time.perf_counter() + options.warm_up
                clocks[name].append(Clock(begin, begin + options.seconds))
                await load(clocks[name][-1])
        return clocks


def main() -> None:
    """Runs the benchmark and prints its results."""
    options = tyro.cli(Options, description=__doc__)
    first = 0.0
    for name, clocks in asyncio.run(measure(options)).items():
        rate = float(np.median([len(clock.latencies) for clock in clocks])) / options.seconds
        p50, p99 = np.percentile(np.concatenate([clock.latencies for clock in clocks]), [50, 99]) * 1e3
        first = first or rate
        print(f"{name:<32} {rate:7.0f} images/s  × {rate / first:.2f}  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms")


if __name__ == "__main__":
    main()
