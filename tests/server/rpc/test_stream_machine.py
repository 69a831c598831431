"""Streams whose requests are answered one by one, driven through all orders of events against a plain oracle."""

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from resprobe_server.errors import NotFound
from resprobe_server.rpc.call import Method
from resprobe_server.rpc.context import RequestContext
from resprobe_server.rpc.core import CallListener
from resprobe_server.rpc.request_stream import Each, EachCall
from resprobe_server.rpc.state import ServerState

Code = grpc.StatusCode
LIMIT = 3


@dataclass
class Message:
    """A request: how it is answered, and its id."""

    kind: str
    id: str


class FakeCore:
    """A call of core that records what is asked of it."""

    method, metadata, deadline = b"/t.T/stream", (), math.inf

    def __init__(self) -> None:
        self.asked = 0
        self.sending: bytes | None = None
        self.finished: list[int] = []

    def peer(self) -> str:
        return "unix:"

    def close(self, listener: CallListener) -> None:
        pass

    def receive(self, listener: CallListener) -> None:
        self.asked += 1

    def send(self, listener: CallListener, data: bytes, more: bool) -> None:
        assert self.sending is None
        self.sending = data

    def finish(self, code: int, details: str, trailing: Any, message: bytes | None) -> None:
        self.finished.append(code)


@dataclass
class Oracle:
    """Record of all that the stream must have done.

    Attributes:
        read: Ids of the requests that were read.
        answers: Responses by id, in the order in which they were there.
        delivered: Responses that the client has.
        ending: Status that the stream is to end with when all that it has read is answered. If None, it reads on.
        cancelled: Whether the client has cancelled it.
    """

    ordered: bool
    read: list[str] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    delivered: list[bytes] = field(default_factory=list)
    ending: Code | None = None
    cancelled: bool = False

    def to_send(self) -> list[bytes]:
        if not self.ordered:
            return list(self.answers.values())
        waiting = [index for index, one in enumerate(self.read) if one not in self.answers]
        return [self.answers[one] for one in self.read[: waiting[0] if waiting else None]]

    def open(self) -> int:
        return len(self.read) - len(self.delivered)

    def finished(self) -> list[int]:
        if self.cancelled:
            return [Code.CANCELLED.value[0]]
        return [] if self.ending is None or self.open() else [self.ending.value[0]]


class StreamMachine(RuleBasedStateMachine):
    """Client, core, worker and operator of one stream, in any order."""

    @initialize(ordered=st.booleans())
    def begin(self, ordered: bool) -> None:
        self.loop = asyncio.new_event_loop()
        self.core, self.oracle = FakeCore(), Oracle(ordered)
        self.replies: dict[str, Any] = {}  # of requests that were taken directly
        self.futures: dict[str, asyncio.Future[bytes]] = {}  # of those that a task answers
        self.state = ServerState()
        self.state.loop = self.loop
        each = Each(
            self.direct, self.answer, lambda _, __, name: (f"no {name}".encode(), Code.NOT_FOUND), LIMIT, ordered
        )
        method = Method("t.T/stream", lambda *_: None, self.parse, bytes, True, each.direct)
        self.call = EachCall(self.state, method, each, self.core)  # type: ignore[arg-type]  # a double
        self.call.begin()
        self.settle()

    def parse(self, data: bytes) -> Message:
        kind, _, name = data.decode().partition(" ")
        if kind == "unreadable":
            raise DecodeError
        return Message(kind, name)

    def direct(self, data: bytes, context: RequestContext) -> Message | None:
        message: Message = context.parse(data)
        if message.kind == "error":
            raise NotFound(message.id)
        if message.kind == "task":
            return message
        self.replies[message.id] = context.reply(lambda result: bytes(result))
        return None

    async def answer(self, request: Message, _: RequestContext) -> bytes:
        self.futures[request.id] = self.loop.create_future()
        return await self.futures[request.id]

    def settle(self) -> None:
        async def turn() -> None:
            for _ in range(8):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    @precondition(lambda self: self.core.asked and not self.oracle.cancelled)
    @rule(kind=st.sampled_from(["direct", "task", "direct", "task", "error", "unreadable"]))
    def client_sends(self, kind: str) -> None:
        self.core.asked -= 1
        name = str(len(self.oracle.read))
        self.call.received(f"{kind} {name}".encode())
        if self.oracle.ending is None and kind == "unreadable":
            self.oracle.ending = Code.INVALID_ARGUMENT
        elif self.oracle.ending is None:
            self.oracle.read.append(name)
            if kind == "error":
                self.oracle.answers[name] = f"no {name}".encode()
        self.settle()

    @precondition(lambda self: self.core.asked and not self.oracle.cancelled)
    @rule()
    def client_ends(self) -> None:
        self.core.asked -= 1
        self.call.received(None)
        self.oracle.ending = self.oracle.ending or Code.OK
        self.settle()

    @precondition(lambda self: self.replies or self.futures)
    @rule(data=st.data(), good=st.booleans())
    def worker_answers(self, data: Any, good: bool) -> None:
        name = data.draw(st.sampled_from(sorted({*self.replies, *self.futures})))
        promise = self.replies.pop(name, None) or self.futures.pop(name)
        if not promise.done():
            if good:
                promise.set_result(f"yes {name}".encode())
            else:
                promise.set_exception(NotFound(name))
        if not self.oracle.cancelled:
            self.oracle.answers[name] = f"{'yes' if good else 'no'} {name}".encode()
        self.settle()

    @precondition(lambda self: self.core.sending is not None and not self.oracle.cancelled)
    @rule()
    def core_has_sent(self) -> None:
        assert self.core.sending is not None
        self.oracle.delivered.append(self.core.sending)
        self.core.sending = None
        self.call.sent(True)
        self.settle()

    @precondition(lambda self: not self.core.finished)
    @rule()
    def client_cancels(self) -> None:
        self.call.closed(True)
        if self.core.sending is not None:
            self.core.sending = None
            self.call.sent(False)
        if self.core.asked:
            self.core.asked = 0
            self.call.received(None)
        self.oracle.cancelled = True
        self.settle()

    @rule()
    def operator_drains(self) -> None:
        self.call.close()
        self.oracle.ending = self.oracle.ending or Code.UNAVAILABLE
        self.settle()

    @invariant()
    def a_request_is_asked_for_exactly_where_there_is_room(self) -> None:
        if self.oracle.ending is None and not self.oracle.cancelled:
            assert self.core.asked == (self.oracle.open() < LIMIT)
        assert self.core.asked in (0, 1)

    @invariant()
    def responses_are_sent_in_their_order_without_a_pause(self) -> None:
        if self.oracle.cancelled:
            return
        begun = [*self.oracle.delivered, *([] if self.core.sending is None else [self.core.sending])]
        expected = self.oracle.to_send()
        assert begun == expected[: len(begun)]
        assert len(begun) == min(len(expected), len(self.oracle.delivered) + 1)

    @invariant()
    def the_stream_ends_once_with_its_status_and_leaves_nothing(self) -> None:
        assert self.core.finished == self.oracle.finished()
        ended = bool(self.core.finished)
        assert bool(self.state.streams) is bool(self.state.running) is not ended
        if self.oracle.cancelled:
            assert all(one.done() for one in (*self.replies.values(), *self.futures.values()))

    @invariant()
    def each_answer_is_counted(self) -> None:
        counted = self.state.counts.counts
        good = sum(one.startswith(b"yes") for one in self.oracle.answers.values())
        assert counted.get(("t.T/stream", "OK"), 0) == good
        assert counted.get(("t.T/stream", "NOT_FOUND"), 0) == len(self.oracle.answers) - good

    def teardown(self) -> None:
        if self.core.finished == []:
            self.call.closed(True)
            self.settle()
        assert not self.state.running
        self.loop.close()


TestStreamMachine = StreamMachine.TestCase
TestStreamMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
