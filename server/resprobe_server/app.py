"""Puts the server together. The only file that imports all of it; `serve` is what the command and the tests call."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from resprobe_protos import resprobe_pb2, resprobe_pb2_grpc

from resprobe_server.authorization import Authorization
from resprobe_server.config import Config
from resprobe_server.device import Device
from resprobe_server.limits import CallLimit, options
from resprobe_server.listening import listen, probes
from resprobe_server.models import Models
from resprobe_server.service import ResidualService

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE = resprobe_pb2.DESCRIPTOR.services_by_name["ResidualService"].full_name
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
    models = Models()
    health = health_aio.HealthServicer()
    await health.set("", NOT_SERVING)
    with ThreadPoolExecutor(config.decode_threads, "decode") as decoders:
        async with Device() as device, probes(config.health_address, health):
            server = grpc.aio.server(interceptors=_interceptors(config), options=options(config))
            max_pixels = int(config.max_pixels * 1e6)
            service = ResidualService(models, decoders, max_pixels, config.max_images, config.max_in_stream)
            resprobe_pb2_grpc.add_ResidualServiceServicer_to_server(service, server)
            health_pb2_grpc.add_HealthServicer_to_server(health, server)
            names = SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME
            reflection.enable_server_reflection(names, server)
            port = listen(server, config)
            await server.start()
            try:
                await asyncio.to_thread(models.load, config, device)
                for name in ("", SERVICE, *models.names()):
                    await health.set(name, SERVING)
                log.info("started", address=config.address, port=port, models=models.names())
                yield port
            finally:
                await health.enter_graceful_shutdown()
                service.drain()
                await server.stop(config.drain)
                log.info("stopped")


def _interceptors(config: Config) -> list[grpc.aio.ServerInterceptor]:
    limit = CallLimit(config.max_calls)
    return [limit] if config.tokens is None else [Authorization(config.tokens), limit]
