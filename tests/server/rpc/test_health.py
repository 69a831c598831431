"""Streams of health: how many are admitted, that one that is cancelled silences no other, and how they end."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
import resprobe
from grpc_health.v1 import health_pb2, health_pb2_grpc
from resprobe_server.rpc.server import Server
from resprobe_server.services.health import NOT_SERVING, SERVICE_UNKNOWN, SERVING, Health

from tests.support.http2_frames import END_HEADERS, HEADERS, connect, frame, headers, read_until
from tests.support.servers import Serve, run_server

Code = grpc.StatusCode
WATCH = b"/grpc.health.v1.Health/Watch"


def request(name: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=name)


def run(limit: int, ask: Any) -> None:
    """Serves health to what `ask` does with a stub and the servicer."""
    health = Health(limit)

    async def ask_stub(channel: Any, server: Server) -> None:
        await ask(health_pb2_grpc.HealthStub(channel), health, server)

    run_server(
        lambda server: server.add(health_pb2_grpc.add_HealthServicer_to_server, health), ask_stub, gates=[health]
    )
    assert not health._watchers
    assert not health._origins


async def left(health: Health, count: int) -> None:
    """Waits until so many watchers are left."""
    while len(health._watchers) != count:  # noqa: ASYNC110  # it is the servicer that is looked at
        await asyncio.sleep(0)


def test_one_watcher_that_leaves_does_not_silence_the_others() -> None:
    async def ask(stub: Any, health: Health, _: Server) -> None:
        stays, leaves = stub.Watch(request("a")), stub.Watch(request("a"))
        assert [(await one.read()).status for one in (stays, leaves)] == [SERVICE_UNKNOWN, SERVICE_UNKNOWN]
        leaves.cancel()
        await left(health, 1)
        for serving in (True, False):
            health.show("a", serving)
            assert (await stays.read()).status == (SERVING if serving else NOT_SERVING)
        stays.cancel()
        await left(health, 0)

    run(8, ask)


def test_at_the_end_watchers_hear_it_and_their_streams_end() -> None:
    async def ask(stub: Any, health: Health, server: Server) -> None:
        health.show("", True)
        watch, unknown = stub.Watch(request()), stub.Watch(request("x"))
        assert (await watch.read()).status == SERVING
        assert (await unknown.read()).status == SERVICE_UNKNOWN
        health.end()
        assert (await watch.read()).status == NOT_SERVING
        for one in (watch, unknown):
            assert await one.read() is grpc.aio.EOF
            assert await one.code() == Code.OK

    run(8, ask)


def test_more_watchers_than_one_address_may_have_are_refused_and_checks_go_on() -> None:
    async def ask(stub: Any, health: Health, _: Server) -> None:
        health.show("", True)
        watchers = [stub.Watch(request()) for _ in range(2)]
        for one in watchers:
            await one.read()
        refused = stub.Watch(request())
        assert await refused.code() == Code.RESOURCE_EXHAUSTED
        assert "2 streams of 127.0.0.1 watch health" in await refused.details()
        assert (await stub.Check(request())).status == SERVING
        watchers.pop().cancel()
        await left(health, 1)
        again = stub.Watch(request())
        assert (await again.read()).status == SERVING
        health.end()
        for one in (*watchers, again):
            assert (await one.read()).status == NOT_SERVING
            assert await one.code() == Code.OK

    run(8, ask)


def test_names_of_services_are_bounded() -> None:
    async def ask(stub: Any, health: Health, _: Server) -> None:
        health.show("a", True)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(request("x" * 100_000))
        assert caught.value.code() == Code.NOT_FOUND
        assert len(caught.value.details() or "") < 400
        assert await stub.Watch(request("x" * 100_000)).code() == Code.INVALID_ARGUMENT

    run(8, ask)


def test_a_server_with_watchers_stops_as_soon_as_its_calls_end(start: Serve, repository: Path) -> None:
    with start(repository, drain=1000.0) as address, grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(request())
        assert next(watch).status == SERVING
        with connect(address) as connection:
            body = frame(HEADERS, END_HEADERS, 1, headers(WATCH)) + frame(0, 0, 1, bytes(5))
            connection.sendall(body)
            read_until(connection, bytes([8, SERVING]))
            with resprobe.Client(address) as client:
                assert client.models()
