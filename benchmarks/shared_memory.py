"""Images in shared memory against images in the message, over the Open Inference Protocol, by turns.

    python benchmarks/shared_memory.py

The net returns a pixel of each image, so that little but the transport is measured. Each turn asks with bytes and with
shared memory, in changing order; what the client does with the images (copying them into the region, or into the
message) counts too. Reported are milliseconds of an answer, milliseconds of the server's CPU, and the median ratio.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import grpc
import numpy as np
import onnx
import tyro
from onnx import TensorProto, helper
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from support.server_process import ServerProcess, start

MODEL, REGION = "pixel", "images"


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    images: int = 32
    """Images of a request."""
    size: tuple[int, int, int] = (224, 224, 3)
    """Height, width and channels of an image."""
    requests: int = 40
    """Requests of each kind in a turn."""
    turns: int = 9
    """Number of turns."""


def write_net(root: Path, size: tuple[int, int, int]) -> None:
    """Writes a net that returns the first pixel of each image, as a model of the repository at `root`."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", *size])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", size[-1]])
    zero = helper.make_tensor("zero", TensorProto.INT64, [], [0])
    nodes = [
        helper.make_node("Gather", ["image", "zero"], ["rows"], axis=1),
        helper.make_node("Gather", ["rows", "zero"], ["pixels"], axis=1),
        helper.make_node("Cast", ["pixels"], ["logits"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(nodes, MODEL, [image], [logits], [zero])
    folder = root / MODEL / "1"
    folder.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "model.onnx"
    )


def measure(server: ServerProcess, ask: Callable[[], object], count: int) -> tuple[float, float]:
    """Returns the seconds of an answer, and those of the server's CPU."""
    begin, cpu = time.perf_counter(), server.cpu_seconds()
    for _ in range(count):
        ask()
    return (time.perf_counter() - begin) / count, (server.cpu_seconds() - cpu) / count


def run(server: ServerProcess, options: Options, memory: SharedMemory) -> None:
    """Runs all turns and prints the figures."""
    images = np.random.default_rng(0).integers(0, 256, (options.images, *options.size), dtype=np.uint8)
    region = np.ndarray(images.shape, np.uint8, memory.buf)
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=images.shape)
    shared = pb.ModelInferRequest(model_name=MODEL, inputs=[tensor])
    shared.inputs[0].parameters["shared_memory_region"].string_param = REGION
    shared.inputs[0].parameters["shared_memory_byte_size"].int64_param = images.nbytes
    with grpc.insecure_channel(server.address, [("grpc.max_send_message_length", -1)]) as channel:
        stub = GRPCInferenceServiceStub(channel)
        stub.SystemSharedMemoryRegister(
            pb.SystemSharedMemoryRegisterRequest(name=REGION, key=memory.name, byte_size=images.nbytes)
        )

        def send_bytes() -> bytes:
            request = pb.ModelInferRequest(model_name=MODEL, inputs=[tensor], raw_input_contents=[images.tobytes()])
            return bytes(stub.ModelInfer(request).raw_output_contents[0])

        def send_region() -> bytes:
            region[:] = images
            return bytes(stub.ModelInfer(shared).raw_output_contents[0])

        if send_bytes() != send_region():
            raise SystemExit("the answers differ")
        kinds = {"bytes": send_bytes, "shared memory": send_region}
        found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for turn in range(options.turns):
            for kind in list(kinds)[:: 1 if turn % 2 else -1]:
                found[kind].append(measure(server, kinds[kind], options.requests))
    report(found)


def report(found: dict[str, list[tuple[float, float]]]) -> None:
    """Prints the medians, and the ratio of both kinds as the median over the turns."""
    for kind, times in found.items():
        wall, cpu = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
        print(f"{kind:14} {wall:7.2f} ms an answer  {cpu:7.2f} ms of the server's CPU")
    pairs = list(zip(found["bytes"], found["shared memory"], strict=True))
    for place, what in enumerate(("time of an answer", "server's CPU")):
        ratio = statistics.median(one[place] / max(two[place], 1e-9) for one, two in pairs)
        print(f"bytes / shared memory, {what}: {ratio:.2f}")


def main(options: Options) -> None:
    """Serves the net and measures."""
    size = options.images * int(np.prod(options.size))
    memory = SharedMemory(create=True, size=size)
    try:
        with tempfile.TemporaryDirectory() as folder:
            write_net(Path(folder), options.size)
            with start(Path(folder), "--shared-memory", "--device", "cpu", "--threads", "1") as server:
                run(server, options, memory)
    finally:
        memory.unlink()


if __name__ == "__main__":
    main(tyro.cli(Options))
