"""Puts the server together. The only file that imports all of it; `serve` is what the command and the tests call."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection import aio as reflection_aio
from resprobe_protos import open_inference_pb2, open_inference_pb2_grpc, resprobe_pb2, resprobe_pb2_grpc

from resprobe_server.binding import listen, probes
from resprobe_server.config import Config
from resprobe_server.errors import StartError
from resprobe_server.images.pool import Decoders
from resprobe_server.memory import giving_back
from resprobe_server.models.registry import Models
from resprobe_server.models.watcher import watching
from resprobe_server.observability import prometheus
from resprobe_server.rpc.admission import arrivals, options
from resprobe_server.rpc.context import Gate
from resprobe_server.rpc.server import Server
from resprobe_server.rpc.status_counts import Calls
from resprobe_server.scheduling.budget import Budget
from resprobe_server.scheduling.worker import Device
from resprobe_server.security.tokens import Authorization, log_open, revoking
from resprobe_server.services import message_limits
from resprobe_server.services.health import Health
from resprobe_server.services.open_inference.service import OpenInferenceService
from resprobe_server.services.resprobe_v1 import ResidualService

if TYPE_CHECKING:
    from resprobe_server.observability.traces import Tracing

RESIDUAL = resprobe_pb2.DESCRIPTOR.services_by_name["ResidualService"].full_name
INFERENCE = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
log = structlog.get_logger()


@asynccontextmanager
async def serve(config: Config) -> AsyncIterator[int]:
    """Runs a server while the context is open.

    It listens at once and answers UNAVAILABLE until the models are loaded; the context is entered when they are.
    Leaving it finishes what was accepted, for up to `config.drain` seconds.

    Yields:
        The port that it listens on.

    Raises:
        StartError: It cannot listen at this address, or has nothing to serve.
    """
    health = Health(config.max_watchers)

    async def show(name: str, serving: bool) -> None:
        health.show(name, serving)

    await show("", False)
    waiting = Budget(config.waiting_bytes, "of images and tensors are waiting")
    async with _traces(config) as tracing, Device(tracing, waiting) as device, probes(config, health):
        models = Models(config, device, show)
        calls = Calls()
        collector = prometheus.ServerCollector(models, calls)
        with _decoders(config) as decoders, prometheus.listen(config, collector):
            fatal = _Fatal(health)
            gates = [*_gates(config), health]
            reader = message_limits.Readers(config.max_images)
            server = Server(options(config), gates, calls, tracing, device, arrivals(config), fatal.stop, reader)
            collaborators = models, decoders, config, tracing
            service, open_inference = ResidualService(*collaborators), OpenInferenceService(*collaborators)
            server.add(
                resprobe_pb2_grpc.add_ResidualServiceServicer_to_server,
                service,
                {f"{RESIDUAL}/Classify": service.classify_directly, f"{RESIDUAL}/ClassifyStream": service.each()},
            )
            server.add(
                open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server,
                open_inference,
                {
                    f"{INFERENCE}/ModelInfer": open_inference.infer_directly,
                    f"{INFERENCE}/ModelStreamInfer": open_inference.each(),
                },
            )
            server.add(health_pb2_grpc.add_HealthServicer_to_server, health)
            names = RESIDUAL, INFERENCE, HEALTH, reflection.SERVICE_NAME
            server.add(
                reflection_pb2_grpc.add_ServerReflectionServicer_to_server, reflection_aio.ReflectionServicer(names)
            )
            port, first_call = listen(server, config)
            await server.start()
            started = False
            try:
                await first_call.make()
                await models.start()
                started = True
                for name in ("", RESIDUAL, INFERENCE):
                    await show(name, True)
                log.info("started", address=config.address, port=port, models=models.names())
                log_open(config)
                with fatal:
                    async with watching(config, models), revoking(gates), giving_back():
                        yield port
            finally:
                health.end()
                open_inference.drain()
                server.drain()
                await server.stop(config.drain)
                if started:
                    log.info("stopped")


class _Fatal:
    """Breaks the serving task off when core has failed: a server that answers nobody must not go on looking alive."""

    def __init__(self, health: Health) -> None:
        self._health, self._failed = health, False
        self._task: asyncio.Task[object] | None = None

    def stop(self) -> None:
        self._failed = True
        self._health.end()
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> None:
        self._raise_if_failed()
        self._task = asyncio.current_task()

    def __exit__(self, *_: object) -> None:
        self._task = None
        self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        if self._failed:
            raise StartError("gRPC's core failed, and no more calls could be served; the log has the reason")


@contextmanager
def _decoders(config: Config) -> Iterator[Decoders]:
    """Threads that decode. Nobody waits for what they are at when the server has stopped."""
    threads = ThreadPoolExecutor(config.decode_threads, "decode")
    decoders = Decoders(threads, config)
    try:
        yield decoders
    finally:
        decoders.close()
        threads.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def _traces(config: Config) -> "AsyncIterator[Tracing | None]":
    if config.traces == "off":
        yield None
        return
    from resprobe_server.observability.traces import Tracing

    tracing = Tracing()
    try:
        yield tracing
    finally:
        await asyncio.to_thread(tracing.close)


def _gates(config: Config) -> list[Gate]:
    return [] if config.tokens is None else [Authorization(config.tokens)]
