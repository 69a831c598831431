"""Compares the simulation of one server with a real one: rate and latency at random arrivals, and of a few callers.

    cd benchmarks && python -m fleet.measured ../models resnet20

The server has core 0, and this program the others. Two full batches of callers, random requests that seldom meet, and
calls that ask nothing of the device calibrate the simulation. By turns with them come loads that it has not seen:
random arrivals (Poisson) at shares of the maximum rate, and numbers of callers. Each request has one image. On a
machine with other work, `chrt --rr 1` in front of the command leaves less of it to the scheduler.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import tyro
from resprobe._wire import health
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from support.server_process import start

from fleet.shadow import request, turn
from fleet.simulation import Outcome, Server, Simulation

REQUESTS = 40_000  # of a simulation
SPARSE = 0.05  # of the maximum rate: requests that seldom meet, but find caches that others have used
EMPTY, FULL, ALONE = "nothing asked", "full batches", "seldom meet"


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    repository: tyro.conf.Positional[Path]
    """Directory of the model repository."""
    model: tyro.conf.Positional[str]
    """Name of the model."""
    loads: tuple[float, ...] = (0.3, 0.5, 0.7)
    """Rates of random arrivals over the maximum rate."""
    callers: tuple[int, ...] = (4, 16)
    """Numbers of callers, each with one request in flight."""
    seconds: float = 3.0
    """Seconds of each load in a turn."""
    turns: int = 5
    """Number of turns."""
    max_batch: int = 32
    """Maximum images in a batch."""


def call(stub: ResidualServiceStub, asked: pb.ClassifyRequest, callers: int, seconds: float) -> list[float]:
    """Returns the seconds to each answer of callers that wait for it before they ask again."""
    found: list[float] = []
    end, over = time.monotonic() + seconds, threading.Semaphore(0)

    def ask() -> None:
        begin = time.monotonic()
        if begin >= end:
            over.release()
            return

        def done(future: "grpc.Future[pb.ClassifyResponse]") -> None:
            future.result()
            found.append(time.monotonic() - begin)
            ask()

        stub.Classify.future(asked).add_done_callback(done)

    for _ in range(callers):
        ask()
    for _ in range(callers):
        over.acquire(timeout=60)
    return found


def calibrate(alone: float, full: float, outside: float, max_batch: int) -> Server:
    """Returns a server with the measured times.

    Args:
        alone: Mean seconds to the answer of requests that seldom meet.
        full: Maximum answers a second, with full batches.
        outside: Seconds of a call that asks nothing of the device.
        max_batch: Maximum images in a batch.
    """
    one, batch = alone - outside, max_batch / full
    fixed = max(0.0, (max_batch * one - batch) / (max_batch - 1))
    return Server(fixed, (batch - fixed) / max_batch, max_batch=max_batch)


def empty_calls(channel: grpc.Channel) -> list[float]:
    """Returns the seconds of each of many health checks."""
    ask = channel.unary_unary(health.METHOD, health.Request.SerializeToString, health.Response.FromString)
    times = []
    for _ in range(200):
        begin = time.monotonic()
        ask(health.Request(), timeout=60)
        times.append(time.monotonic() - begin)
    return times


def usual(times: Sequence[float]) -> float:
    """Returns the mean without the slowest twentieth, in which other work on the machine shows."""
    return float(np.sort(times)[: max(1, len(times) * 19 // 20)].mean())


def observe(channel: grpc.Channel, asked: pb.ClassifyRequest, options: Options) -> Iterator[tuple[str, list[float]]]:
    """Yields the seconds to each answer of every load of a turn, by its name."""
    stub = ResidualServiceStub(channel)
    yield EMPTY, empty_calls(channel)
    full = call(stub, asked, 2 * options.max_batch, options.seconds)
    most = len(full) / options.seconds
    yield FULL, full
    yield ALONE, turn(stub, asked, SPARSE * most, 2 * options.seconds)
    for load in options.loads:
        yield f"random, {load:.0%}", turn(stub, asked, load * most, options.seconds)
    for callers in options.callers:
        yield f"{callers} callers", call(stub, asked, callers, options.seconds)


def simulate(server: Server, outside: float, options: Options) -> dict[str, Outcome]:
    """Returns what the simulation says of the loads that did not calibrate it."""
    found = {
        f"random, {load:.0%}": Simulation(server).open_loop(load * server.capacity, REQUESTS) for load in options.loads
    }
    for callers in options.callers:
        found[f"{callers} callers"] = Simulation(server).closed_loop(callers, REQUESTS, pause=outside)
    return found


def main(options: Options) -> None:
    """Measures, simulates and prints medians over the turns, with the ratio of simulated to measured."""
    os.sched_setaffinity(0, {0})  # the server's, which is started next
    turns: dict[str, list[list[float]]] = defaultdict(list)
    with (
        start(options.repository, "--threads", "1", "--max-batch", str(options.max_batch)) as process,
        grpc.insecure_channel(process.address) as channel,
    ):
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)) or {0})
        asked = request(ResidualServiceStub(channel), options.model)
        call(ResidualServiceStub(channel), asked, 2 * options.max_batch, 1.0)
        for _ in range(options.turns):
            for load, times in observe(channel, asked, options):
                turns[load].append(times)
    outside, alone = (float(np.median([usual(times) for times in turns[load]])) for load in (EMPTY, ALONE))
    server = calibrate(
        alone, float(np.median(list(map(len, turns[FULL])))) / options.seconds, outside, options.max_batch
    )
    print(
        f"a batch: {server.fixed * 1e3:.2f} ms, an image: {server.image * 1e3:.2f} ms, outside: {outside * 1e3:.2f} ms"
    )
    print(f"{'load':<12} {'':<10} {'answers/s':>9} {'p50 ms':>8} {'p90 ms':>8} {'p99 ms':>8}")
    for load, outcome in simulate(server, outside, options).items():
        rows = [[len(times) / options.seconds, *np.percentile(times, (50, 90, 99)) * 1e3] for times in turns[load]]
        seen = np.median(rows, axis=0)
        said = np.array([outcome.rate, *(np.percentile(outcome.latencies, (50, 90, 99)) + outside) * 1e3])
        for name, row in (("measured", seen), ("simulated", said), ("ratio", said / seen)):
            print(f"{load:<12} {name:<10} {row[0]:9.2f} {row[1]:8.2f} {row[2]:8.2f} {row[3]:8.2f}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
