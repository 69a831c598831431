"""Puts the server together. The only file that imports all of it; the command and the tests call `serve`."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection import aio as reflection_aio
from resprobe_protos import (
    open_inference_pb2,
    open_inference_pb2_grpc,
    resprobe_pb2,
    resprobe_pb2_grpc,
    rollout_pb2,
    rollout_pb2_grpc,
)

from resprobe_server.binding import listen, probes
from resprobe_server.config import Config
from resprobe_server.errors import StartError
from resprobe_server.images.pool import Decoders
from resprobe_server.memory import giving_back
from resprobe_server.models.registry import Models
from resprobe_server.models.watcher import watching
from resprobe_server.observability import listener, prometheus
from resprobe_server.observability.merging import to_text
from resprobe_server.rpc.admission import arrivals, options
from resprobe_server.rpc.context import Gate
from resprobe_server.rpc.server import Server
from resprobe_server.rpc.status_counts import Calls
from resprobe_server.scheduling.budget import Budget
from resprobe_server.scheduling.worker import Device
from resprobe_server.security.tokens import Authorization, log_open, revoking
from resprobe_server.services import merged, message_limits
from resprobe_server.services.health import Health
from resprobe_server.services.open_inference.regions import Regions
from resprobe_server.services.open_inference.service import OpenInferenceService
from resprobe_server.services.readiness import Readiness
from resprobe_server.services.resprobe_v1.service import ResidualService
from resprobe_server.services.rollout import RolloutService
from resprobe_server.shadowing import rules
from resprobe_server.shadowing.candidates import Candidates
from resprobe_server.tracer import NullTracer, Tracer
from resprobe_server.workers.loaded import LoadedModels
from resprobe_server.workers.place import Place
from resprobe_server.workers.siblings import Siblings

RESIDUAL = resprobe_pb2.DESCRIPTOR.services_by_name["ResidualService"].full_name
INFERENCE = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
ROLLOUT = rollout_pb2.DESCRIPTOR.services_by_name["RolloutService"].full_name
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
log = structlog.get_logger()


@asynccontextmanager
async def serve(config: Config, place: Place | None = None) -> AsyncIterator[int]:
    """Runs a server while the context is open.

    It listens at once and answers UNAVAILABLE until the models are loaded; then the context is entered. A worker
    listens when all workers have loaded their models. When the context is left, requests that were accepted are
    answered, for up to `config.drain` seconds.

    Args:
        config: Configuration.
        place: Place among workers that serve the same port. If None, the server is alone.

    Yields:
        The port that it listens on.

    Raises:
        StartError: It cannot listen at this address, or no model can be served.
    """
    siblings = None if place is None else Siblings(place, merged.METHODS)
    async with AsyncExitStack() as stack:
        parts = await _assemble(config, stack, siblings)
        started = False
        try:
            port = await _begin(parts, config, stack, place)
            started = True
            for name in ("", RESIDUAL, INFERENCE):
                parts.health.show(name, True)
            event = "started" if place is None else "worker started"
            log.info(event, address=config.address, port=port, pid=os.getpid(), models=parts.models.table.names())
            if place is None or place.index == 0:
                log_open(config)
            with parts.fatal:
                async with watching(config, parts.models), revoking(parts.gates), giving_back():
                    yield port
        finally:
            parts.health.end()
            parts.inference.drain()
            parts.server.drain()
            await parts.server.stop(config.drain)
            parts.models.close()
            if started:
                log.info("stopped" if place is None else "worker stopped")


@dataclass(frozen=True)
class _Parts:
    """Parts of a server that its start and its end need."""

    server: Server
    models: Models
    health: Health
    inference: OpenInferenceService
    gates: Sequence[Gate]
    fatal: "_Fatal"
    metrics: Callable[[], str]
    siblings: Siblings | None


async def _begin(parts: _Parts, config: Config, stack: AsyncExitStack, place: Place | None) -> int:
    """Listens and loads the models; a worker in the other order, since others answer meanwhile. Returns the port."""
    if parts.siblings is None or place is None:
        await stack.enter_async_context(probes(config, parts.health))
        port = await _listen(parts, config)
        await parts.models.start()
        return port
    await parts.models.start()
    await place.loaded(parts.metrics)
    async with parts.siblings.joining():
        await stack.enter_async_context(probes(config, parts.health))
        return await _listen(parts, config, parts.siblings.address)


async def _listen(parts: _Parts, config: Config, private: str = "") -> int:
    port, first_call = listen(parts.server, config, private)
    await parts.server.start()
    await first_call.make()
    return port


async def _assemble(config: Config, stack: AsyncExitStack, siblings: Siblings | None) -> _Parts:
    """Creates the parts of a server; those that must be closed are entered into the stack."""
    health = Health(config.max_watchers)

    async def show(name: str, serving: bool) -> None:
        health.show(name, serving)
        candidates.follow(name)

    health.show("", False)
    waiting = Budget(config.waiting_bytes, "of images and tensors are waiting")
    tracer = await stack.enter_async_context(_tracer(config))
    device = await stack.enter_async_context(Device(tracer, waiting))
    if siblings is not None and (names := siblings.known("models")) is not None:
        config = replace(config, load=tuple(names))
    models, calls = Models(config, device, show, waiting), Calls()
    candidates = Candidates(models.table, device.when_idle, rules.read(config.shadow, config.split))
    decoders = stack.enter_context(_decoders(config))
    registry = prometheus.registry(prometheus.ServerCollector(models, calls, candidates))
    stack.enter_context(listener.listen(config.metrics_address if siblings is None else "", registry))
    if siblings is not None:
        siblings.shared |= {"models": LoadedModels(models, config.mode == "explicit"), "rollouts": candidates}
    gates: list[Gate] = [] if config.tokens is None else [Authorization(config.tokens)]
    fatal, reader = _Fatal(health), message_limits.Readers(config.max_images)
    server = Server(
        options(config),
        [*gates, health, Readiness(models.table)],
        calls,
        tracer,
        device,
        arrivals(config),
        fatal.stop,
        reader,
        None if siblings is None else siblings.around,
    )
    regions = Regions(config.tokens is not None) if config.shared_memory else None
    if siblings is not None and regions is not None:
        siblings.shared["regions"] = regions
    inference = OpenInferenceService(models, decoders, config, tracer, regions)
    _add_services(server, ResidualService(models, decoders, config, tracer), inference, health)
    server.add(rollout_pb2_grpc.add_RolloutServiceServicer_to_server, RolloutService(candidates, models))
    return _Parts(server, models, health, inference, gates, fatal, partial(to_text, registry), siblings)


def _add_services(server: Server, residual: ResidualService, inference: OpenInferenceService, health: Health) -> None:
    server.add(resprobe_pb2_grpc.add_ResidualServiceServicer_to_server, residual)
    server.add(open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server, inference)
    server.add(health_pb2_grpc.add_HealthServicer_to_server, health)
    names = RESIDUAL, ROLLOUT, INFERENCE, HEALTH, reflection.SERVICE_NAME
    server.add(reflection_pb2_grpc.add_ServerReflectionServicer_to_server, reflection_aio.ReflectionServicer(names))


class _Fatal:
    """Cancels the serving task when gRPC's core has failed: a server that answers no calls must not stay alive."""

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
    """Runs threads that decode. Pictures that are being decoded when the context is left are given up."""
    threads = ThreadPoolExecutor(config.decode_threads, "decode")
    decoders = Decoders(threads, config)
    try:
        yield decoders
    finally:
        decoders.close()
        threads.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def _tracer(config: Config) -> AsyncIterator[Tracer]:
    if config.traces == "off":
        yield NullTracer()
        return
    from resprobe_server.observability.opentelemetry import OpenTelemetryTracer  # not needed otherwise

    tracer = OpenTelemetryTracer()
    try:
        yield tracer
    finally:
        await asyncio.to_thread(tracer.close)
