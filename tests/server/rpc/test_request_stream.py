"""Streams whose requests are answered each by itself: order, bounds, errors, and how they end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc
import pytest
from resprobe_protos import resprobe_pb2 as pb
from resprobe_server.errors import NotFound
from resprobe_server.rpc.request_stream import UNSENT, Each, Turn
from resprobe_server.rpc.server import Server
from resprobe_server.rpc.status import make_status

from tests.support.servers import run_server

Code = grpc.StatusCode
NAME = "t.T/stream"
MANY, LIMIT = 100, 8
DEADLINE = 1.0  # seconds: long enough for requests to arrive, and short enough to wait for


def refuse(error: Exception, context: Any, identifier: str) -> tuple[bytes, grpc.StatusCode]:
    response = pb.ClassifyResponse(id=identifier, error=make_status(error, context, identifier))
    return response.SerializeToString(), Code.NOT_FOUND


def never(data: bytes, call: Any) -> pb.ClassifyRequest:
    """Takes no request directly."""
    parsed: pb.ClassifyRequest = call.parse(data)
    return parsed


def serialize(text: str) -> bytes:
    return pb.ClassifyResponse(id=text).SerializeToString()


def run(each: Each, ask: Callable[[Any, Server], Awaitable[None]]) -> Server:
    """Serves a stream to what `ask` does with a client's method; returns the server."""

    def add(_: object, server: Any) -> None:
        behaviour: Any = each
        handler = grpc.stream_stream_rpc_method_handler(
            behaviour, pb.ClassifyRequest.FromString, pb.ClassifyResponse.SerializeToString
        )
        server.add_registered_method_handlers("t.T", {"stream": handler})

    async def ask_method(channel: Any, server: Server) -> None:
        await ask(channel.stream_stream(f"/{NAME}", None, pb.ClassifyResponse.FromString), server)

    server = run_server(lambda server: server.add(add, None), ask_method)
    assert not server.state.streams
    return server


def numbered(count: int) -> Iterable[bytes]:
    return [pb.ClassifyRequest(id=str(number)).SerializeToString() for number in range(count)]


async def everything(call: Any) -> tuple[list[str], grpc.StatusCode, str]:
    """The ids of the responses, and what the stream ends with."""
    found = []
    try:
        async for response in call:
            found.append(response.id)
    except grpc.aio.AioRpcError:
        pass  # it is in the code
    return found, await call.code(), await call.details()


async def forever(first: Iterable[bytes], sent: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for one in first:
        yield one
    if sent is not None:
        sent.set()
    await asyncio.Event().wait()


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("direct", [False, True])
def test_answers_come_in_order_or_as_they_are_there_and_no_more_than_the_limit_at_a_time(
    ordered: bool, direct: bool
) -> None:
    held: list[tuple[str, Any]] = []  # those under way, and what answers each
    most = 0

    def hold(identifier: str, release: Any) -> None:
        nonlocal most
        held.append((identifier, release))
        most = max(most, len(held))
        if len(held) == LIMIT or identifier == str(MANY - 1):
            for name, answer in reversed(held):  # the newest first
                answer(name)
            held.clear()

    def take(data: bytes, call: Any) -> pb.ClassifyRequest | None:
        request: pb.ClassifyRequest = call.parse(data)
        turn: Turn = call.reply(serialize)
        call._state.loop.call_soon_threadsafe(hold, request.id, turn.set_result)
        return None

    async def answer(request: pb.ClassifyRequest, _: Any) -> bytes:
        future = asyncio.get_running_loop().create_future()
        hold(request.id, future.set_result)
        return serialize(await future)

    async def ask(method: Any, _: Server) -> None:
        got = [response.id async for response in method(iter(numbered(MANY)))]
        groups = [list(map(str, range(MANY)))[at : at + LIMIT] for at in range(0, MANY, LIMIT)]
        assert got == [one for group in groups for one in (group if ordered else reversed(group))]

    server = run(Each(take if direct else never, answer, refuse, LIMIT, ordered), ask)
    assert most == LIMIT
    assert server.state.counts.counts == {(NAME, "OK"): MANY}


def test_a_client_that_does_not_read_holds_the_stream_up() -> None:
    begun = 0
    chunk = pb.ClassifyResponse(id="x" * 100_000)

    async def answer(*_: Any) -> bytes:
        nonlocal begun
        begun += 1
        return chunk.SerializeToString()

    async def ask(method: Any, _: Server) -> None:
        responses = aiter(method(iter(numbered(2 * MANY))))
        assert await anext(responses) == chunk
        assert begun < 2 * MANY  # 20 MB do not fit into what lies between
        assert [response async for response in responses] == [chunk] * (2 * MANY - 1)

    run(Each(never, answer, refuse, LIMIT), ask)


def test_responses_that_are_not_sent_yet_are_bounded_in_bytes() -> None:
    under_way: list[int] = []
    answered = asyncio.Event()
    chunk = pb.ClassifyResponse(id="x" * (1 << 20))

    async def answer(_: pb.ClassifyRequest, context: Any) -> bytes:
        under_way.append(context._intake.open)
        return chunk.SerializeToString()

    async def requests() -> AsyncIterator[bytes]:
        first, *rest = numbered(MANY)
        yield first
        await answered.wait()
        for one in rest:
            yield one

    async def ask(method: Any, _: Server) -> None:
        async for _response in method(requests()):
            answered.set()

    run(Each(never, answer, refuse, MANY), ask)
    assert len(under_way) == MANY
    assert max(under_way) <= UNSENT >> 20


@pytest.mark.parametrize("ordered", [False, True])
def test_an_error_is_an_answer_and_the_stream_goes_on(ordered: bool) -> None:
    def take(data: bytes, call: Any) -> pb.ClassifyRequest | None:
        request: pb.ClassifyRequest = call.parse(data)
        if request.id == "0":
            raise NotFound("taken, and wrong")
        if request.id == "1":
            turn = call.reply(lambda _: 1 / 0)
        elif request.id == "2":
            turn = call.reply(serialize)
            call._state.loop.call_soon_threadsafe(turn.set_exception, NotFound("set"))
            return None
        else:
            return request
        call._state.loop.call_soon_threadsafe(turn.set_result, "")
        return None

    async def answer(request: pb.ClassifyRequest, _: Any) -> bytes:
        if request.id == "3":
            raise NotFound("not taken, and wrong")
        return serialize(request.id)

    async def ask(method: Any, _: Server) -> None:
        answers = {response.id: response.error async for response in method(iter(numbered(5)))}
        assert [answers[str(number)].message for number in (0, 2, 3, 4)] == [
            "taken, and wrong",
            "set",
            "not taken, and wrong",
            "",
        ]
        assert answers["1"].code == Code.INTERNAL.value[0]

    server = run(Each(take, answer, refuse, LIMIT, ordered), ask)
    assert server.state.counts.counts == {(NAME, "OK"): 1, (NAME, "NOT_FOUND"): 4}


@pytest.mark.parametrize("ordered", [False, True])
def test_bytes_that_are_no_message_end_it_after_what_came_before(ordered: bool) -> None:
    # grpc.aio makes INTERNAL of any status that arrives while it writes: the answers wait until it has written.
    sent = asyncio.Event()

    async def slow(request: pb.ClassifyRequest, _: Any) -> bytes:
        await sent.wait()
        return serialize(request.id)

    async def ask(method: Any, _: Server) -> None:
        found, code, details = await everything(method(forever([*numbered(3), b"\xff", *numbered(2)], sent)))
        assert sorted(found) == ["0", "1", "2"]
        assert code == Code.INVALID_ARGUMENT
        assert details == f"the bytes of a request are not the message that {NAME} takes"

    server = run(Each(never, slow, refuse, LIMIT, ordered), ask)
    assert server.state.counts.counts == {(NAME, "OK"): 3, (NAME, "INVALID_ARGUMENT"): 1}


def test_draining_answers_what_was_read_and_says_that_the_server_goes() -> None:
    full, go = asyncio.Event(), asyncio.Event()

    async def wait(request: pb.ClassifyRequest, _: Any) -> bytes:
        if request.id == str(LIMIT - 1):
            full.set()
        await go.wait()
        return serialize(request.id)

    async def ask(method: Any, server: Server) -> None:
        # A client that is cut off while it writes makes a mistake of its own of that: one has written, one never does.
        sent = asyncio.Event()
        answers = asyncio.ensure_future(everything(method(forever(numbered(MANY), sent))))
        await asyncio.gather(full.wait(), sent.wait())
        server.drain()
        goes = Code.UNAVAILABLE, "the server is shutting down; what it had read is answered"
        assert await everything(method(forever(()))) == ([], *goes)
        go.set()
        assert await answers == ([str(number) for number in range(LIMIT)], *goes)

    run(Each(never, wait, refuse, LIMIT), ask)


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_a_caller_that_goes_drops_what_is_under_way(timeout: float | None) -> None:
    turns: list[Turn] = []
    begun, ended = asyncio.Event(), asyncio.Event()

    def take(data: bytes, call: Any) -> pb.ClassifyRequest | None:
        request: pb.ClassifyRequest = call.parse(data)
        if request.id == "2":  # the last
            return request
        turns.append(call.reply(serialize))
        return None

    async def wait(*_: Any) -> bytes:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async def ask(method: Any, server: Server) -> None:
        call = method(forever(numbered(3)), timeout=timeout)
        await begun.wait()
        assert len(turns) == 2
        if timeout is None:
            assert not any(turn.cancelled() or turn.done() for turn in turns)
            call.cancel()
        await ended.wait()
        assert all(turn.cancelled() and turn.done() for turn in turns)
        turns[0].set_result("")  # nobody minds

    server = run(Each(take, wait, refuse, LIMIT), ask)
    # At the deadline the client resets the call, and its reset may arrive before the deadline on the server's clock.
    statuses = ("DEADLINE_EXCEEDED", "CANCELLED") if timeout else ("CANCELLED",)
    assert [server.state.counts.counts.pop((NAME, one), 0) for one in statuses].count(1) == 1
