"""Requests/s of servers side by side, load by h2load, which is written in C and sends one stored message.

    taskset -c 0 resprobe-server models --threads 1 --address 127.0.0.1:50051 &
    taskset -c 0 python benchmarks/peers/grpc_aio_server.py models --address 127.0.0.1:50052 &
    taskset -c 1 python benchmarks/h2load.py resprobe=127.0.0.1:50051/resnet20 aio=127.0.0.1:50052/resnet20

h2load is in Debian's nghttp2-client. The servers take turns; each is compared with the last one, as the median of the
ratios of all turns.
"""

import re
import shutil
import statistics
import struct
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import tyro
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import resprobe_pb2 as v1

HEADER = 5  # bytes before a message: compressed or not, and its length
PATHS = {"infer": "inference.GRPCInferenceService/ModelInfer", "classify": "resprobe.v1.ResidualService/Classify"}


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    servers: tyro.conf.Positional[tuple[str, ...]]
    """Servers as NAME=HOST:PORT/MODEL."""
    size: tuple[int, int, int] = (32, 32, 3)
    """Height, width and channels of the image."""
    loads: tuple[str, ...] = ("infer:1", "infer:8", "infer:64")
    """Loads as PROTOCOL:CONNECTIONS with infer (Open Inference Protocol) or classify (resprobe.v1); each connection has
    one request in flight."""
    seconds: int = 3
    """Seconds of each load in a turn."""
    turns: int = 7
    """Number of turns."""


def message(protocol: str, model: str, size: tuple[int, int, int]) -> bytes:
    """Returns a request for one random image as gRPC frames it."""
    data = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8).tobytes()
    request: oip.ModelInferRequest | v1.ClassifyRequest
    if protocol == "infer":
        tensor = oip.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=(1, *size))
        request = oip.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=[data])
    else:
        height, width, channels = size
        pixels = v1.Pixels(height=height, width=width, channels=channels, data=data)
        request = v1.ClassifyRequest(model=model, images=[v1.Image(pixels=pixels)])
    text = request.SerializeToString()
    return b"\0" + struct.pack(">I", len(text)) + text


def check(address: str, protocol: str, framed: bytes) -> None:
    """Sends the message once, since h2load does not read the status of a call. Raises grpc.RpcError if it fails."""
    with grpc.insecure_channel(address) as channel:
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{PATHS[protocol]}")
        send(framed[HEADER:], timeout=10)


def run(address: str, protocol: str, connections: int, file: Path, seconds: int) -> float:
    """Returns the requests/s of one load. Raises RuntimeError if a request failed."""
    command = ["h2load", "--duration", str(seconds), "--clients", str(connections), "--max-concurrent-streams", "1"]
    command += ["--data", str(file), "--header", "content-type: application/grpc", "--header", "te: trailers"]
    done = subprocess.run([*command, f"http://{address}/{PATHS[protocol]}"], capture_output=True, text=True, check=True)
    rate = re.search(r"finished in [^,]+, ([\d.]+) req/s", done.stdout)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    if rate is None or failed is None or any(map(int, failed.groups())):
        raise RuntimeError(f"h2load against {address}: {done.stdout}{done.stderr}")
    return float(rate[1])


def main(options: Options) -> None:
    """Runs all turns and prints a line for each load."""
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is not installed; Debian's nghttp2-client has it")
    servers = [(name, *rest.split("/", 1)) for name, _, rest in (text.partition("=") for text in options.servers)]
    rates: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "message"
        for turn in range(options.turns):
            for load in options.loads:
                protocol, _, connections = load.partition(":")
                for name, address, model in servers if turn % 2 else servers[::-1]:
                    framed = message(protocol, model, options.size)
                    check(address, protocol, framed)
                    file.write_bytes(framed)
                    rates[load, name].append(run(address, protocol, int(connections), file, options.seconds))
    for load in options.loads:
        last = rates[load, servers[-1][0]]
        for name, *_ in servers:
            own = rates[load, name]
            ratio = statistics.median(a / b for a, b in zip(own, last, strict=True))
            print(f"{load:12} {name:12} {statistics.median(own):8.0f} requests/s  {ratio:5.2f} × {servers[-1][0]}")


if __name__ == "__main__":
    main(tyro.cli(Options))
