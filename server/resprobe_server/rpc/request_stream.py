"""A gRPC call with a stream of requests that are answered each by itself, side by side.

A request that can be is queued on gRPC's thread and answered without a task, as one of a unary call is. Only so many
requests are worked on or wait for their answer to be sent; then the next is not read, and gRPC holds the client up.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resprobe_server.errors import NotReady, QueueFull, Unreadable
from resprobe_server.rpc.call import Direct
from resprobe_server.rpc.context import Code, RequestContext
from resprobe_server.rpc.message_stream import SendingCall
from resprobe_server.rpc.reply import Reply, Respond

if TYPE_CHECKING:
    from resprobe_server.rpc.server import Server


@dataclass(frozen=True)
class Each:
    """How the requests of a stream are answered.

    Attributes:
        direct: See Server.add; the reply to give away is that of the stream.
        answer: Answers a request that `direct` does not take. What it raises goes to `refuse`.
        refuse: From what went wrong and the id of the request to the response that says so, and its status.
        limit: Requests at a time.
        ordered: Whether the responses come in the order of the requests; else each as soon as it is there.
    """

    direct: Direct
    answer: Callable[[Any, RequestContext], Awaitable[Any]]
    refuse: Callable[[Exception, RequestContext, str], tuple[Any, Code]]
    limit: int
    ordered: bool = False


UNSENT = 16 << 20  # bytes that the requests under way and their responses may take; beyond, no more are read


class Turn(Reply):
    """One request of a stream, and the promise of its response; `respond` is set when it was looked at."""

    __slots__ = ("identifier", "response")

    def __init__(self, call: "EachCall") -> None:
        """Makes it for a request that was not parsed yet."""
        self._call = call
        self.identifier = ""
        self.response: bytes | None = None

    def answer(self, response: bytes) -> None:
        """Sends the response."""
        self._call.answered(self, response, Code.OK)

    def set_exception(self, error: Exception) -> None:
        """Sends the response that says what went wrong."""
        self._call.refused(self, error)


class EachCall(SendingCall):
    """A call whose requests are answered each by itself; see the top of the module."""

    tallies = False

    def __init__(self, server: "Server", event: Any, method: str, handler: Any, how: Each) -> None:
        """Takes a call in; `how` says how each request is answered. The others are those of Call."""
        super().__init__(server, event, method, handler, how.direct if server.tracing is None else None)
        self._each = how
        self._largest = 1  # bytes of the largest request or response so far
        self._open = 0  # requests that were read and whose response was not sent
        self._reading = False
        self._waiting = True  # for the first request
        self._last = False  # whether no more requests are looked at
        self._error: Exception | None = None  # why not. If None, there are no more
        self._turns: deque[Turn] = deque()  # of an ordered stream
        self._turn: Turn  # of the request that is being read
        self._tasks: set[asyncio.Task[None]] = set()
        self._context: contextvars.Context
        self._all: asyncio.Future[None]  # is done when the last response was sent

    # On the event loop.

    def open(self) -> None:
        """Begins. On the poller's thread."""
        self.post(self.start, None)

    async def answer(self, request: None) -> None:
        """Reads requests, and waits until all are answered."""
        self._context, self._all = contextvars.copy_context(), self.server.loop.create_future()
        self.server.streams.add(self)
        try:
            if self.server.draining:
                self.close()
            else:
                self._reading = True
                self.receive()
            await self._all
        finally:
            self.server.streams.discard(self)
            for task in self._tasks:
                task.cancel()
        if self._error is not None:
            raise self._error
        self.finish(Code.OK)

    def close(self) -> None:
        """Looks at no more requests; the stream ends when those that it has read are answered."""
        self._end(NotReady("the server is shutting down; what it had read is answered"))

    def answered(self, turn: Turn, response: bytes, code: Code) -> None:
        """The response to a request is there."""
        if self.code() is not None:
            return  # nobody hears it
        self.server.calls.count(self.method, code)
        self._largest = max(self._largest, len(response))
        if not self._each.ordered:
            self.send(response)
            return
        turn.response = response
        while self._turns and (first := self._turns[0].response) is not None:
            self._turns.popleft()
            self.send(first)

    def refused(self, turn: Turn, error: Exception) -> None:
        """There is none, and this is why."""
        response, code = self._each.refuse(error, self, turn.identifier)
        self.answered(turn, self.handler.response_serializer(response), code)

    def _begin(self, turn: Turn, request: Any) -> None:
        if self.code() is None:
            task = self.server.loop.create_task(self._answer(turn, request), context=self._context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, turn: Turn, request: Any) -> None:
        try:
            response = await self._each.answer(request, self)
        except Exception as error:
            self.refused(turn, error)
        else:
            self.answered(turn, self.handler.response_serializer(response), Code.OK)

    def _wake(self) -> None:
        if not self._all.done():
            self._all.set_result(None)

    # On the poller's thread.

    def received(self, event: Any) -> None:
        """A request is there, or none will come."""
        if self._waiting and not self._enter():
            return
        data = event.batch_operations[0].message()
        if data is None:
            self._end(None)
            return
        with self._lock:
            if self._last:
                return  # the server is going; what comes now was not read
            self._open += 1
            self._largest = max(self._largest, len(data))
            self._reading = self._has_room()
        turn = self._turn = Turn(self)
        if self._each.ordered:
            self._turns.append(turn)
        try:
            request = self._take(data, self) if self._take and not self.cancelled else self.parse(data)
        except Unreadable as error:
            self._give_up(turn, error)
            return
        except Exception as error:
            self.post(self.refused, turn, error)
        else:
            if request is not None:
                self.post(self._begin, turn, request)
        if self._reading:
            self.receive()

    def _has_room(self) -> bool:
        """Whether another request may be read: there are few under way, and they and their responses are not large."""
        return self._open < self._each.limit and (not self._open or self._open * self._largest < UNSENT)

    def _enter(self) -> bool:
        """Gives the stream its place, with its first request; returns whether there is one."""
        self._waiting = False
        if not self.server.arrivals.came(self):
            return False
        try:
            self.server.arrivals.enter(self)
        except QueueFull as error:
            self._end(error)
            return False
        return True

    def parse(self, data: bytes) -> Any:
        """Returns the message in these bytes, as Call.parse does."""
        message = super().parse(data)
        self._turn.identifier = getattr(message, "id", "")
        return message

    def reply(self, respond: Respond) -> Turn:
        """What is to be set to answer the request that is being read."""
        self._turn.respond = respond
        return self._turn

    def _give_up(self, turn: Turn, error: Unreadable) -> None:
        if self._each.ordered:
            self._turns.remove(turn)
        with self._lock:
            self._open -= 1
        self._end(error)

    def _sent(self, event: Any) -> None:
        with self._lock:
            self._open -= 1
            self._go_on(event)
            last = self._last and not self._open
            again = not (self._reading or self._last) and self._has_room()
            self._reading = self._reading or again
        if last:
            self.post(self._wake)
        elif again:
            self.receive()

    # On any thread.

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self._last:
                return
            self._last, self._error = True, error
            last = not self._open
        if last:
            self.post(self._wake)
