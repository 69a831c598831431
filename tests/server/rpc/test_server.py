"""The server on gRPC's core, with methods made for it: what each kind of call ends with, and what streams hold."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from resprobe_server.rpc.call import Call
from resprobe_server.rpc.message_stream import READ_AHEAD, WRITE_AHEAD
from resprobe_server.rpc.server import Server

from tests.support.methods import ending, method, run, value

Code = grpc.StatusCode
MANY = 200
DEADLINE = 1.0  # seconds: long enough for a call to begin, and short enough to wait for


def test_a_stream_is_read_ahead_within_bounds_and_in_order() -> None:
    held = []

    async def total(requests: AsyncIterator[Int64Value], context: Any) -> AsyncIterator[Int64Value]:
        async for request in requests:
            held.append(len(context._unread))
            yield request

    async def ask(channel: Any, _: Server) -> None:
        answers = method(channel, "stream_stream")(value(number) for number in range(MANY))
        assert [answer.value async for answer in answers] == list(range(MANY))

    server = run({"stream_stream": total}, ask)
    assert len(held) == MANY
    assert max(held) <= READ_AHEAD
    assert server.state.counts.counts == {("t.T/stream_stream", "OK"): 1}


def test_a_client_that_does_not_read_holds_the_method_up() -> None:
    unsent: list[int] = []
    chunk = StringValue(value="x" * 100_000)

    async def flood(_: Int64Value, context: Any) -> None:
        for _number in range(MANY):
            await context.write(chunk)
            unsent.append(len(context._unsent))

    async def ask(channel: Any, _: Server) -> None:
        answers = channel.unary_stream("/t.T/unary_stream", Int64Value.SerializeToString, StringValue.FromString)(
            value(1)
        )
        first = True
        async for answer in answers:
            assert answer == chunk
            if first:
                assert len(unsent) < MANY  # 20 MB do not fit into what lies between
            first = False
        assert len(unsent) == MANY

    run({"unary_stream": flood}, ask)
    assert max(unsent) <= WRITE_AHEAD


@pytest.mark.parametrize("first", [0, 100_000])
def test_responses_of_one_step_arrive_whole_whatever_their_sizes(first: int) -> None:
    sizes = [first, 0, 1, 70_000, 5, 5, 5, 300_000, 2, 64_000, 64_000, 0]  # core holds about 64 KiB back

    async def burst(_: Int64Value, context: Any) -> AsyncIterator[StringValue]:
        for size in sizes:
            yield StringValue(value="x" * size)
        assert context._unsent  # nothing was sent meanwhile: it is one step of the loop

    async def ask(channel: Any, _: Server) -> None:
        call = channel.unary_stream("/t.T/unary_stream", Int64Value.SerializeToString, StringValue.FromString)
        for _number in range(3):
            assert [len(answer.value) async for answer in call(value(1))] == sizes

    assert len(sizes) <= WRITE_AHEAD
    assert run({"unary_stream": burst}, ask).state.counts.counts == {("t.T/unary_stream", "OK"): 3}


@pytest.mark.parametrize("kind", ["unary_unary", "stream_stream"])
def test_bytes_that_are_no_message(kind: str) -> None:
    async def never(request: Any, _: Any) -> AsyncIterator[Int64Value]:
        async for one in request:
            yield one

    async def ask(channel: Any, _: Server) -> None:
        if kind == "unary_unary":
            assert await ending(channel.unary_unary("/t.T/unary_unary")(b"\xff")) == (Code.INVALID_ARGUMENT, text)
        else:
            call = channel.stream_stream("/t.T/stream_stream")(iter([b"\x08\x01", b"\xff"]))
            assert await call.read() == b"\x08\x01"
            assert await ending(call) == (Code.INVALID_ARGUMENT, text)

    text = f"the bytes of a request are not the message that t.T/{kind} takes"
    server = run({kind: never}, ask)
    assert server.state.counts.counts == {(f"t.T/{kind}", "INVALID_ARGUMENT"): 1}


def test_a_call_without_its_request() -> None:
    async def ask(channel: Any, _: Server) -> None:
        call = channel.stream_unary("/t.T/unary_unary")(iter([]))
        assert await ending(call) == (Code.INVALID_ARGUMENT, "t.T/unary_unary takes one request, and none came")

    run({"unary_unary": lambda *_: None}, ask)


def test_a_method_that_nobody_serves() -> None:
    async def ask(channel: Any, _: Server) -> None:
        call = channel.unary_unary("/t.T/other")(b"")
        assert await ending(call) == (Code.UNIMPLEMENTED, "there is no method /t.T/other")

    assert run({}, ask).state.counts.counts == {("unknown", "UNIMPLEMENTED"): 1}


@pytest.mark.parametrize("timeout", [None, DEADLINE])
@pytest.mark.parametrize("kind", ["unary_unary", "stream_stream"])
def test_a_caller_that_goes_ends_its_method(kind: str, timeout: float | None) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait(*_: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def ask(channel: Any, _: Server) -> None:
        call = method(channel, kind)(value(1) if kind == "unary_unary" else iter([]), timeout=timeout)
        await began.wait()
        if timeout is None:
            call.cancel()
        await ended.wait()

    server = run({kind: wait}, ask)
    # At the deadline the client resets the call, and its reset may arrive before the deadline on the server's clock.
    ((counted, status),) = server.state.counts.counts
    assert (counted, server.state.counts.counts[counted, status]) == (f"t.T/{kind}", 1)
    assert status in (("DEADLINE_EXCEEDED", "CANCELLED") if timeout else ("CANCELLED",))


def test_a_caller_that_goes_before_its_request_came(events: list[Any]) -> None:
    arrived, ended = asyncio.Event(), asyncio.Event()

    class Watch:
        def enter(self, call: Call) -> None:
            call._state.loop.call_soon_threadsafe(arrived.set)
            call.add_done_callback(lambda _: ended.set())

    async def nothing() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def ask(channel: Any, _: Server) -> None:
        call = channel.stream_unary("/t.T/unary_unary")(nothing())
        await arrived.wait()
        call.cancel()
        await ended.wait()

    server = run({"unary_unary": lambda *_: None}, ask, gates=[Watch()])
    assert server.state.counts.counts == {("t.T/unary_unary", "CANCELLED"): 1}
    assert events == []  # it is nobody's mistake


@pytest.mark.parametrize("grace", [0.0, 60.0])
def test_stopping_waits_for_what_is_under_way_but_not_longer_than_its_grace(grace: float) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def wait(request: Int64Value, _: Any) -> Int64Value:
        began.set()
        await go.wait()
        return request

    async def ask(channel: grpc.aio.Channel, server: Server) -> None:
        call = method(channel, "unary_unary")(value(7))
        answer = asyncio.ensure_future(ending(call))
        await began.wait()
        stopping = asyncio.ensure_future(server.stop(grace))
        await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)  # it has heard that the server goes
        if grace:
            go.set()
        await stopping
        assert (await answer)[0] == (Code.OK if grace else Code.UNAVAILABLE)

    server = run({"unary_unary": wait}, ask, stops=False)
    assert server.state.counts.counts == {("t.T/unary_unary", "OK" if grace else "CANCELLED"): 1}
