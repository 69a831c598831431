"""Compares the simulation of one server with a real one: rate and latency at random arrivals, and of a few callers.

    cd benchmarks && python -m fleet.measured ../models resnet20

The server has core 0, and this program the others. By turns, so that a noisy neighbour disturbs both: one caller and
two full batches of callers calibrate the simulation; then come loads that it has not seen, random arrivals (Poisson)
at shares of the maximum rate, and numbers of callers. Each load is a request of one image.
"""

import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import tyro
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from support.server_process import ServerProcess, start

from fleet.shadow import request, turn
from fleet.simulation import Outcome, Server, Simulation

REQUESTS = 40_000  # of a simulation
Found = tuple[float, npt.NDArray[np.float64]]  # answers a second, and seconds to each


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


def calibrate(alone: list[float], busy: float, full: float, max_batch: int) -> tuple[Server, float]:
    """Returns a server with the measured times, and the seconds that a request spends outside of it.

    Args:
        alone: Seconds to each answer of one caller.
        busy: CPU seconds of the server for each request of one caller.
        full: Maximum answers a second, with full batches.
        max_batch: Maximum images in a batch.
    """
    batch = max_batch / full
    outside = max(0.0, float(np.median(alone)) - busy)
    fixed = max(0.0, (max_batch * busy - batch) / (max_batch - 1))
    return Server(fixed, (batch - fixed) / max_batch, max_batch=max_batch), outside


def one_turn(
    stub: ResidualServiceStub, asked: pb.ClassifyRequest, server: ServerProcess, options: Options
) -> dict[str, tuple[Found, Found]]:
    """Runs all loads once. Returns what was found and what the simulation says, by load."""
    before = server.cpu_seconds()
    one = call(stub, asked, 1, options.seconds)
    busy = (server.cpu_seconds() - before) / len(one)
    most = len(call(stub, asked, 2 * options.max_batch, options.seconds)) / options.seconds
    simulated, outside = calibrate(one, busy, most, options.max_batch)
    print(f"fixed {simulated.fixed * 1e3:.2f} ms, image {simulated.image * 1e3:.3f} ms, outside {outside * 1e3:.2f} ms")
    found: dict[str, tuple[Found, Found]] = {}
    for load in options.loads:
        seen = np.array(turn(stub, asked, load * most, options.seconds))
        said = Simulation(simulated).open_loop(load * most, REQUESTS)
        found[f"random, {load:.0%}"] = (len(seen) / options.seconds, seen), _said(said, outside)
    for callers in options.callers:
        seen = np.array(call(stub, asked, callers, options.seconds))
        said = Simulation(simulated).closed_loop(callers, REQUESTS, pause=outside)
        found[f"{callers} callers"] = (len(seen) / options.seconds, seen), _said(said, outside)
    return found


def _said(outcome: Outcome, outside: float) -> Found:
    return outcome.rate, outcome.latencies + outside


def main(options: Options) -> None:
    """Measures, simulates and prints medians over the turns, with the ratio of simulated to measured."""
    os.sched_setaffinity(0, {0})  # the server's, which is started next
    turns: dict[str, list[npt.NDArray[np.float64]]] = defaultdict(list)
    with (
        start(options.repository, "--threads", "1", "--max-batch", str(options.max_batch)) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)) or {0})
        stub = ResidualServiceStub(channel)
        asked = request(stub, options.model)
        call(stub, asked, 2 * options.max_batch, 1.0)
        for _ in range(options.turns):
            for load, both in one_turn(stub, asked, server, options).items():
                turns[load].append(np.array([[rate, *np.percentile(seen, (50, 90, 99)) * 1e3] for rate, seen in both]))
    print(f"{'load':<12} {'':<10} {'answers/s':>9} {'p50 ms':>8} {'p90 ms':>8} {'p99 ms':>8}")
    for load, values in turns.items():
        seen, said = np.median(values, axis=0)
        ratios = np.median([one[1] / one[0] for one in values], axis=0)
        for name, row in (("measured", seen), ("simulated", said), ("ratio", ratios)):
            print(f"{load:<12} {name:<10} {row[0]:9.2f} {row[1]:8.2f} {row[2]:8.2f} {row[3]:8.2f}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
