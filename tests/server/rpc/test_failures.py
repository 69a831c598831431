"""Failures inside the server: of a method, of one call, and of gRPC's core."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import Int64Value
from resprobe_server.rpc.call import Call
from resprobe_server.rpc.core import Core
from resprobe_server.rpc.message_stream import WRITE_AHEAD
from resprobe_server.rpc.server import Server

from tests.support.methods import ending, method, run, value

Code = grpc.StatusCode
DEADLINE = 1.0  # seconds: long enough for a call to begin, and short enough to wait for


@pytest.mark.parametrize("kind", ["unary_unary", "stream_stream"])
def test_what_goes_wrong_inside_stays_inside(kind: str, events: list[Any]) -> None:
    async def fail(*_: Any) -> Int64Value:
        raise KeyError("a secret")

    async def fail_late(*_: Any) -> AsyncIterator[Int64Value]:
        for number in range(WRITE_AHEAD):
            yield value(number)
        raise KeyError("a secret")

    async def ask(channel: Any, _: Server) -> None:
        if kind == "unary_unary":
            call = method(channel, kind)(value(1))
        else:
            call = method(channel, kind)(iter([]))
            for number in range(WRITE_AHEAD):
                assert (await call.read()).value == number
        code, details = await ending(call)
        assert code == Code.INTERNAL
        assert "secret" not in details

    server = run({kind: fail if kind == "unary_unary" else fail_late}, ask)
    assert server.state.counts.counts == {(f"t.T/{kind}", "INTERNAL"): 1}
    assert [repr(event["exc_info"]) for event in events if event["event"] == "failed"] == ["KeyError('a secret')"]


def test_an_event_that_cannot_be_handled_ends_its_call_and_no_other(
    monkeypatch: pytest.MonkeyPatch, events: list[Any]
) -> None:
    received, failures = Call.received, [KeyError("a secret")]

    def fail_once(call: Call, data: bytes | None) -> None:
        if failures:
            raise failures.pop()
        received(call, data)

    async def same(request: Int64Value, _: Any) -> Int64Value:
        return request

    async def ask(channel: Any, _: Server) -> None:
        code, details = await ending(method(channel, "unary_unary")(value(1)))
        assert code == Code.INTERNAL
        assert "secret" not in details
        assert (await method(channel, "unary_unary")(value(2))).value == 2

    monkeypatch.setattr(Call, "received", fail_once)
    server = run({"unary_unary": same}, ask)
    assert server.failure is None
    assert server.state.counts.counts == {("t.T/unary_unary", "INTERNAL"): 1, ("t.T/unary_unary", "OK"): 1}
    assert [event["event"] for event in events] == ["failed"]


def test_a_failure_of_core_is_logged_and_reported_once(monkeypatch: pytest.MonkeyPatch, events: list[Any]) -> None:
    heard: list[Exception | None] = []

    async def serve() -> None:
        failed = asyncio.Event()

        def on_failure() -> None:
            heard.append(server.failure)
            failed.set()

        server = Server(on_failure=on_failure)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        monkeypatch.setattr(Core, "accept", lambda _: 1 / 0)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/t.T/none")
            with pytest.raises(grpc.aio.AioRpcError):
                await call(b"", timeout=DEADLINE)
            await asyncio.wait_for(failed.wait(), 60)
        await asyncio.wait_for(server.stop(10), 60)

    asyncio.run(serve())
    assert [type(one) for one in heard] == [ZeroDivisionError]
    assert [event["log_level"] for event in events if "core failed" in event["event"]] == ["critical"]
