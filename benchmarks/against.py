"""Images/s of servers side by side, over the Open Inference Protocol, which all of them speak.

    taskset -c 0 resprobe-server models --device cpu --threads 1 --address 127.0.0.1:50051 &
    taskset -c 0 tritonserver … &       # with the same model.onnx and one inference thread
    taskset -c 1 python benchmarks/against.py models/resnet20/1/model.onnx \
        resprobe=127.0.0.1:50051/resnet20 triton=127.0.0.1:8001/resnet20

Raw ONNX Runtime and the servers take turns, so that a noisy neighbour disturbs all of them; reported are medians, and
ratios of medians. A load is CALLERS x IMAGES: each caller sends its next request of so many images when the last was
answered. Raw is the best batch size of one thread on core 0.
"""

import asyncio
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
import tyro
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub

SIZES = (1, 8, 16, 32, 64)


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    model: tyro.conf.Positional[Path]
    """ONNX file that all servers serve."""
    servers: tyro.conf.Positional[tuple[str, ...]]
    """Servers as NAME=HOST:PORT/MODEL; the others are compared with the last one. With ,blocks/10 at the end, every
    tenth request asks for the output `blocks` too."""
    loads: tuple[str, ...] = ("1x1", "8x1", "64x1", "8x32")
    """Loads as CALLERS x IMAGES: each caller has one request of IMAGES images in flight."""
    seconds: float = 4.0
    """Seconds of each load in a turn that count, after the warm-up."""
    warm_up: float = 1.0
    """Seconds of warm-up of each load in a turn."""
    turns: int = 5
    """Number of turns of each load."""


@dataclass(eq=False)
class Server:
    """A server to measure, and its results.

    Attributes:
        name: Name in the report.
        address: HOST:PORT of the server.
        model: Model to ask.
        output: Output that some requests ask for too. If empty, none does.
        every: Requests for each one that asks for `output`.
        rates: Images/s of each turn.
        latencies: Seconds from request to response, of all turns.
    """

    name: str
    address: str
    model: str
    output: str
    every: int
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


def server_of(text: str) -> Server:
    """Reads a server from NAME=HOST:PORT/MODEL. Exits if the text has another form."""
    name, _, where = text.partition("=")
    where, _, extra = where.partition(",")
    address, _, model = where.partition("/")
    output, _, every = extra.partition("/")
    if not (name and address and model):
        sys.exit(f"{text!r} is not a server: expected NAME=HOST:PORT/MODEL")
    return Server(name, address, model, output, int(every or 1))


def requests_of(server: Server, images: int, shape: list[int]) -> list[pb.ModelInferRequest]:
    """Returns requests of noise to repeat: one of them asks for the server's `output`."""
    data = np.random.default_rng(1).integers(0, 256, (images, *shape), dtype=np.uint8)
    plain = pb.ModelInferRequest(model_name=server.model, raw_input_contents=[data.tobytes()])
    plain.inputs.add(name="image", datatype="UINT8", shape=data.shape)
    if not server.output:
        return [plain]
    more = pb.ModelInferRequest()
    more.CopyFrom(plain)
    for name in ("logits", server.output):
        more.outputs.add(name=name)
    return [more, *[plain] * (server.every - 1)]


async def measure(server: Server, options: Options, load: str, shape: list[int]) -> None:
    """Runs one turn of a load on one server."""
    callers, images = map(int, load.split("x"))
    requests = cycle(requests_of(server, images, shape))
    begin = time.perf_counter() + options.warm_up
    end = begin + options.seconds
    latencies: list[float] = []
    async with grpc.aio.insecure_channel(server.address) as channel:
        infer = GRPCInferenceServiceStub(channel).ModelInfer

        async def caller() -> None:
            while (sent := time.perf_counter()) < end:
                response = await infer(next(requests))
                if response.outputs[0].shape[0] != images:
                    raise RuntimeError(f"{server.name} did not answer all images: {response}")
                if begin < (now := time.perf_counter()) < end:  # whenever it was sent, or those under way are lost
                    latencies.append(now - sent)

        await asyncio.gather(*(caller() for _ in range(callers)))
    server.rates.append(len(latencies) * images / options.seconds)
    server.latencies += latencies


def raw(model: Path, seconds: float) -> float:
    """Measures the images/s of ONNX Runtime alone, at its best batch size, in this process, on core 0."""
    os.sched_setaffinity(0, {0})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).integers(0, 256, (max(SIZES), *session.get_inputs()[0].shape[1:]), dtype=np.uint8)
    best = 0.0
    for size in SIZES:
        begin, done = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds / len(SIZES):
            session.run(None, {"image": images[:size]})
            done += size
        best = max(best, done / (time.perf_counter() - begin))
    return best


def main() -> None:
    """Runs the benchmark and prints its results."""
    options = tyro.cli(Options, description=__doc__)
    if not options.servers:
        sys.exit("no server to measure: expected NAME=HOST:PORT/MODEL, one or more")
    session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape[1:]
    for load in options.loads:
        servers = [server_of(text) for text in options.servers]
        alone = []
        for _ in range(options.turns):
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                alone.append(process.submit(raw, options.model, options.seconds).result())
            for server in servers:
                asyncio.run(measure(server, options, load, shape))
        print(f"{load:>6}  raw {np.median(alone):7.0f} images/s")
        for server in servers:
            rate, last = np.median(server.rates), np.median(servers[-1].rates)
            p50, p99 = np.percentile(server.latencies, [50, 99]) * 1e3
            print(
                f"{server.name:>16} {rate:7.0f} images/s  {rate / np.median(alone):.2f} of raw  "
                f"{rate / last:.2f} x {servers[-1].name}  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  "
                f"{[round(one) for one in server.rates]}",
                flush=True,
            )


if __name__ == "__main__":
    main()
