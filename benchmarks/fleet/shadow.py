"""What a candidate that is compared costs the requests: their latency with it and without, by turns, at half load.

    cd benchmarks && python -m fleet.shadow ../models resnet20 --candidate 2

Requests of one image arrive at random (Poisson) at half the rate that one caller gets. The server has core 0, and
this program the others. Look at a run with --share 0 first: its ratios are the noise of the machine.
"""

import os
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import tyro
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import rollout_pb2
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_protos.rollout_pb2_grpc import RolloutServiceStub
from support.server_process import start


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    repository: tyro.conf.Positional[Path]
    """Directory of the model repository."""
    model: tyro.conf.Positional[str]
    """Name of the model, which needs two versions."""
    candidate: str = "2"
    """Version to compare."""
    share: float = 0.1
    """Share of the images."""
    seconds: float = 4.0
    """Seconds of a turn."""
    turns: int = 6
    """Turns with the candidate, and as many without."""
    load: float = 0.5
    """Rate of the requests over that of one caller."""


def request(stub: ResidualServiceStub, model: str) -> pb.ClassifyRequest:
    """Returns a request for one random image of the model's size."""
    image = stub.GetModel(pb.GetModelRequest(name=model)).image
    shape = image.height, image.width, image.channels
    data = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8).tobytes()
    pixels = pb.Pixels(height=image.height, width=image.width, channels=image.channels, data=data)
    return pb.ClassifyRequest(model=model, images=[pb.Image(pixels=pixels)], top_k=1)


def one_caller(stub: ResidualServiceStub, asked: pb.ClassifyRequest, seconds: float) -> float:
    """Returns the requests a second of one caller that waits for each response."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        stub.Classify(asked)
        count += 1
    return count / seconds


def turn(stub: ResidualServiceStub, asked: pb.ClassifyRequest, rate: float, seconds: float) -> list[float]:
    """Sends requests at random times; returns the seconds that each took."""
    found: list[float] = []
    free = threading.Semaphore(0)
    due, sent = time.monotonic(), 0
    end = due + seconds
    while (due := due + random.expovariate(rate)) < end:
        time.sleep(max(0.0, due - time.monotonic()))

        def done(_: object, begin: float = time.monotonic()) -> None:
            found.append(time.monotonic() - begin)
            free.release()

        stub.Classify.future(asked).add_done_callback(done)
        sent += 1
    for _ in range(sent):
        free.acquire(timeout=60)
    return found


def main(options: Options) -> None:
    """Measures and prints both, and the ratios."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})  # the server's, which is started next
    times: tuple[list[float], list[float]] = [], []  # without and with the candidate
    with (
        start(options.repository, "--threads", "1", "--shadow", f"{options.model}={options.candidate}:0") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)) or {0})
        stub, rollout = ResidualServiceStub(channel), RolloutServiceStub(channel)
        asked = request(stub, options.model)
        one_caller(stub, asked, 1.0)
        rate = options.load * one_caller(stub, asked, 2.0)
        for _ in range(options.turns):
            for found, share in zip(times, (0.0, options.share), strict=True):
                candidate = rollout_pb2.SetShadowRequest(model=options.model, version=options.candidate, share=share)
                rollout.SetShadow(candidate)
                found += turn(stub, asked, rate, options.seconds)
                if share:
                    shadow = rollout.GetShadow(rollout_pb2.GetShadowRequest(model=options.model)).shadow
                    print(f"{shadow.image_count} images compared, {shadow.dropped_count} dropped")
    print(f"{rate:.0f} requests/s")
    rows = [[np.mean(found), *np.percentile(found, (50, 90, 99))] for found in times]
    for share, row in zip((0.0, options.share), rows, strict=True):
        print(f"share {share:g}: mean, p50, p90, p99 " + ", ".join(f"{value * 1e3:.2f}" for value in row) + " ms")
    ratios = np.divide(rows[1], rows[0])
    print("ratios " + ", ".join(f"{ratio:.3f}" for ratio in ratios))


if __name__ == "__main__":
    main(tyro.cli(Options))
