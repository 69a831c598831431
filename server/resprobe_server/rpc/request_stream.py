"""A gRPC call with a stream of requests that are answered one by one, side by side.

A request is queued on gRPC's thread and answered without a task if that is possible, as that of a unary call is. Only
so many requests are worked on or wait for their response to be sent; beyond, the next is not read, and gRPC makes the
client wait. stream_states.py says when the next request is read and when the stream is done.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from resprobe_server.errors import NotReady, QueueFull, Unreadable
from resprobe_server.rpc.call import Direct, Method
from resprobe_server.rpc.context import Code, Reply, RequestContext, Respond
from resprobe_server.rpc.core import CoreCall
from resprobe_server.rpc.message_stream import SendingCall
from resprobe_server.rpc.state import ServerState
from resprobe_server.rpc.stream_states import Action, Intake, State

UNSENT = 16 << 20  # bytes that the requests under way and their responses may take; beyond, no more are read


@dataclass(frozen=True)
class Each:
    """How a request is answered: the only one of a call, or each of a stream. Responses are bytes.

    Attributes:
        direct: See Method; it gets the reply to one request from RequestContext.reply.
        answer: Answers a request that `direct` returned. What it raises is given to `refuse`.
        refuse: Makes the response to a request that failed, and its status, from the exception, the context and the id
            of the request.
        limit: Maximum requests that are worked on or wait for their response to be sent.
        ordered: Whether the responses are sent in the order of the requests. If not, each is sent when it is there.
    """

    direct: Direct
    answer: Callable[[Any, RequestContext], Awaitable[bytes]]
    refuse: Callable[[Exception, RequestContext, str], tuple[bytes, Code]]
    limit: int
    ordered: bool = False


class Turn(Reply):
    """One request of a stream, and the promise of its response."""

    __slots__ = ("arrived", "identifier", "model", "response")
    _call: "EachCall"

    def __init__(self, call: "EachCall") -> None:
        """Creates the turn of a request that was not parsed yet; `respond` is set when it was."""
        self._call, self.arrived = call, time.monotonic()
        self.identifier = self.model = ""
        self.response: bytes | None = None

    def answer(self, response: bytes) -> None:
        """Sends the response."""
        self._call.answered(self, response, Code.OK)

    def set_exception(self, error: Exception) -> None:
        """Sends the response that says what went wrong."""
        self._call.refused(self, error)


class EachCall(SendingCall):
    """A call whose requests are answered one by one; see the top of the module."""

    tallies = False
    _turn: Turn | None = None  # of the request that is being read
    _context: contextvars.Context
    _done_future: "asyncio.Future[None]"  # is done when the last response was sent

    def __init__(self, state: ServerState, method: Method, each: Each, core: CoreCall) -> None:
        """Creates the call of a method from the call that core has accepted; `each` says how requests are answered."""
        super().__init__(state, method, core)
        self._each = each
        self._intake = Intake(each.limit, UNSENT)
        self._turns: deque[Turn] = deque()  # of an ordered stream
        self._tasks: set[asyncio.Task[None]] = set()

    # On the event loop.

    def open(self) -> None:
        """Begins the stream. Runs on gRPC's thread."""
        self.post(self.start, None)

    async def answer(self, request: None) -> None:
        """Reads requests, and waits until all are answered."""
        self._context, self._done_future = contextvars.copy_context(), self._state.loop.create_future()
        self._state.streams.add(self)
        try:
            if self._state.draining:
                self.close()
            else:
                self._do(self._intake.begin())
            await self._done_future
        finally:
            self._intake.stop()
            self._state.streams.discard(self)
            for task in self._tasks:
                task.cancel()
        if self._intake.error is not None:
            raise self._intake.error
        self.finish(Code.OK)

    def close(self) -> None:
        """Reads no more requests; the stream ends when those that it has read are answered."""
        self._do(self._intake.close(NotReady("the server is shutting down; what it had read is answered")))

    def answered(self, turn: Turn, response: bytes, code: Code) -> None:
        """Sends the response to a request, in its turn if the stream is ordered."""
        if self.code() is not None:
            return  # the call has ended
        if code is Code.OK:
            self._state.answered(self.method, turn.model, turn.arrived)
        else:
            self._state.counts.count(self.method, code)
        self._intake.measure(len(response))
        if not self._each.ordered:
            self.send(response)
            return
        turn.response = response
        while self._turns and (first := self._turns[0].response) is not None:
            self._turns.popleft()
            self.send(first)

    def refused(self, turn: Turn, error: Exception) -> None:
        """Sends the response that says why a request failed."""
        response, code = self._each.refuse(error, self, turn.identifier)
        self.answered(turn, response, code)

    def _begin(self, turn: Turn, request: Any) -> None:
        if self.code() is None and not self.cancelled:  # of a cancelled stream, `direct` has not seen the request
            task = self._state.loop.create_task(self._answer(turn, request), context=self._context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, turn: Turn, request: Any) -> None:
        try:
            response = await self._each.answer(request, self)
        except Exception as error:
            self.refused(turn, error)
        else:
            self.answered(turn, response, Code.OK)

    def _wake(self) -> None:
        if not self._done_future.done():
            self._done_future.set_result(None)

    # On gRPC's thread.

    def received(self, data: bytes | None) -> None:
        """Handles a request. If None, the client sends no more."""
        if self._intake.state is State.FIRST and not self._enter():
            return
        if data is None:
            self._do(self._intake.close(None))
            return
        action = self._intake.request(len(data))
        if action is Action.DROP:
            return  # the server is shutting down, or the call has ended
        turn = self._turn = Turn(self)
        if self._each.ordered:
            self._turns.append(turn)
        try:
            self._read(turn, data)
        except Unreadable as error:
            if self._each.ordered:
                self._turns.pop()  # this one, for only this thread appends
            self._do(self._intake.close(error, unread=1))
        except Exception as error:
            self.post(self.refused, turn, error)
            self._do(action)
        else:
            self._do(action)
        finally:
            self._turn = None

    def _read(self, turn: Turn, data: bytes) -> None:
        direct = self._method.direct
        request = direct(data, self) if direct and not self.cancelled else self.parse(data)
        if request is not None:
            self.post(self._begin, turn, request)

    def _enter(self) -> bool:
        """Gives the stream its place, with its first request; returns whether there is one."""
        if not self._state.arrivals.came(self):
            return False
        try:
            self._state.arrivals.enter(self)
        except QueueFull as error:
            self._do(self._intake.close(error))
            return False
        return True

    def parse(self, data: bytes) -> Any:
        """Returns the message in these bytes, as Call.parse does."""
        message = super().parse(data)
        if self._turn is not None:
            self._turn.identifier = getattr(message, "id", "")
        return message

    def regard(self, model: str) -> None:
        """Notes which model the request that is being read is for."""
        if self._turn is not None:
            self._turn.model = model

    def reply(self, respond: Respond) -> Turn:
        """Returns the reply to the request that is being read."""
        if self._turn is None:
            raise RuntimeError("no request is being read; call reply in Each.direct")
        self._turn.respond = respond
        return self._turn

    def sent(self, success: bool) -> None:
        """Sends the next response, and reads the next request if there is room again."""
        super().sent(success)
        self._do(self._intake.answer())

    # On any thread.

    def _do(self, action: Action) -> None:
        if action is Action.ASK:
            self._core.receive(self)
        elif action is Action.WAKE:
            self.post(self._wake)
