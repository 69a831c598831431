"""ModelInfer of this server's own services, on grpc.aio instead of gRPC's core.

    taskset -c 0 python benchmarks/peers/grpc_aio_server.py models

For the figure in docs/architecture.md. Parsing, planning, batching and serializing are those of resprobe-server. Left
out is what it does besides: limits on calls, tokens, counts of statuses, and answers without a task.
"""

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import tyro
import uvloop
from resprobe_protos import open_inference_pb2 as pb
from resprobe_server.config import Config
from resprobe_server.images.pool import Decoders
from resprobe_server.models.registry import Models
from resprobe_server.principal import Principal
from resprobe_server.rpc.context import Metadata, Reply, Respond
from resprobe_server.scheduling.worker import Device
from resprobe_server.services.endpoint import Endpoint
from resprobe_server.services.open_inference.inputs import InputReader
from resprobe_server.services.open_inference.plan import InferPlanner
from resprobe_server.services.open_inference.shared_memory import SharedMemory
from resprobe_server.tracer import NullTracer


@dataclass(frozen=True)
class Options:
    """Options of the server."""

    repository: tyro.conf.Positional[Path]
    """Model repository: NAME/VERSION/model.onnx."""
    address: str = "127.0.0.1:50052"
    """HOST:PORT to listen on."""


class Context:
    """Context of a request as the services want it, over that of grpc.aio."""

    principal: Principal | None = None
    cancelled = streams = False
    identifier = ""

    def __init__(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self._context = context

    def invocation_metadata(self) -> Metadata | None:
        """Returns the metadata that the client sent with the call."""
        return [(key, value) for key, value in self._context.invocation_metadata() or ()]

    def peer(self) -> str:
        """Returns the address of the client."""
        return str(self._context.peer())

    def time_remaining(self) -> float | None:
        """Returns the seconds until the deadline. If None, the client set no deadline."""
        return self._context.time_remaining()

    def code(self) -> grpc.StatusCode | None:
        """Says that the call has not ended, by None."""
        return None

    def details(self) -> str:
        """Returns an empty text: the call has not ended."""
        return ""

    def parse(self, data: bytes) -> Any:
        """Returns the message in these bytes."""
        return pb.ModelInferRequest.FromString(data)

    def regard(self, model: str) -> None:
        """Does nothing: latencies are not measured here."""

    def reply(self, respond: Respond) -> Reply:
        """Raises an error: grpc.aio answers with what a method returns."""
        raise TypeError("grpc.aio has no replies")


async def serve(options: Options) -> None:
    """Serves until SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def show(_name: str, _serving: bool) -> None:
        """Does nothing: there are no health checks."""

    config, tracer = Config(options.repository, device="cpu", threads=1), NullTracer()
    async with Device() as device:
        models = Models(config, device, show)
        await models.start()
        reader = InputReader(Decoders(ThreadPoolExecutor(2), config), config.max_images, tracer)
        planner = InferPlanner(models.table, reader, 64 << 20, SharedMemory())
        endpoint = Endpoint(planner, tracer, False, models.on_demand.bring)

        async def infer(data: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            wrapped = Context(context)
            return await endpoint.answer(planner.prepare(data, wrapped), wrapped)

        server = grpc.aio.server()
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "ModelInfer": grpc.unary_unary_rpc_method_handler(infer)
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
        )
        server.add_insecure_port(options.address)
        await server.start()
        print(f"serving on {options.address}", flush=True)
        await stop.wait()
        await server.stop(1)


if __name__ == "__main__":
    uvloop.run(serve(tyro.cli(Options)))
