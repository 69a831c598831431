"""A gRPC call with a stream of requests or responses: its messages are read and sent ahead, within bounds."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, NoReturn

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs leave it out

from resprobe_server.errors import RequestError
from resprobe_server.rpc.call import Call
from resprobe_server.rpc.context import Code, Metadata

READ_AHEAD = 8  # messages that were read and not yet asked for
WRITE_AHEAD = 16  # messages that were written and not yet sent
MORE_COMES = 1  # GRPC_WRITE_BUFFER_HINT of grpc_types.h: core may write it together with the next
END = object()  # after the last request


class SendingCall(Call):
    """A call with several responses, which are sent one after the other; those of one step of the loop in one go."""

    streams = True

    def __init__(self, *arguments: Any) -> None:
        """Takes a call in, with the arguments of Call."""
        super().__init__(*arguments)
        self._lock = threading.Lock()  # both threads touch what follows, and what classes add to it
        self._unsent: deque[bytes] = deque()
        self._sending = False

    def send(self, data: bytes) -> None:
        """Sends a response, when those before it have gone. On the event loop."""
        with self._lock:
            self._unsent.append(data)
            if self._sending or len(self._unsent) > 1:
                return
        self.server.loop.call_soon(self._begin_to_send)

    def break_off(self, error: Exception) -> None:
        """Ends the call, whatever it is at; messages that were not sent yet are dropped."""
        with self._lock:
            self._unsent.clear()
        super().break_off(error)

    def _begin_to_send(self) -> None:
        with self._lock:
            if self._unsent and not self._sending:
                self._send()

    def _send(self) -> None:
        data = self._unsent.popleft()
        if self.started:
            operations = [cygrpc.SendMessageOperation(data, MORE_COMES if self._unsent else 0)]
        else:  # the metadata would wait with it
            self.started = True
            operations = [cygrpc.SendInitialMetadataOperation(None, 0), cygrpc.SendMessageOperation(data, 0)]
        self._sending = True
        self.batch(self._sent, *operations)

    def _sent(self, event: Any) -> None:
        """One has gone, or the caller has."""
        with self._lock:
            self._go_on(event)

    def _go_on(self, event: Any) -> None:
        self._sending = False
        if not event.success:
            self._unsent.clear()  # the caller has gone
        elif self._unsent:
            self._send()


class StreamCall(SendingCall):
    """A call whose method gets an iterator of requests if they are a stream, and yields or writes responses."""

    def __init__(self, *arguments: Any) -> None:
        """Takes a call in, with the arguments of Call."""
        super().__init__(*arguments)
        self._waiting = True  # for the first request
        self._unread: deque[Any] = deque()  # requests, then END or the error that breaks them off
        self._reading, self._broken = True, False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._enough = 0  # the writer waits until so few are unsent

    async def write(self, message: Any) -> None:
        """Sends a response. It waits while many are on their way."""
        self.send(self.handler.response_serializer(message))
        if len(self._unsent) > WRITE_AHEAD:
            await self._sent_up_to(WRITE_AHEAD // 2)

    async def abort(self, code: Code, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """Ends the call, after what was written."""
        await self._sent_up_to(0)
        await super().abort(code, details, trailing_metadata)

    async def answer(self, request: Any) -> None:
        """Runs the method."""
        try:
            responses = (self.handler.stream_stream or self.handler.unary_stream)(request, self)
            if hasattr(responses, "__aiter__"):
                async with aclosing(responses):
                    async for response in responses:
                        await self.write(response)
            else:
                await responses  # it writes
        except Exception:
            await self._sent_up_to(0)  # the status comes after what was written
            raise
        await self._sent_up_to(0)
        self.finish(Code.OK)

    def open(self) -> None:
        """Asks for the request, or for the first of many, which the method waits for."""
        self.receive()
        if self.handler.request_streaming:
            self.post(self.start, self._requests())

    def received(self, event: Any) -> None:
        """A request is there, or will not come; if there is room, the next is asked for."""
        if not self.handler.request_streaming:
            super().received(event)
            return
        if self._waiting and not self.server.arrivals.came(self):
            return
        data = event.batch_operations[0].message()
        try:
            if self._waiting:
                self._waiting = False
                self.server.arrivals.enter(self)
            request = END if data is None else self.parse(data)
        except RequestError as error:
            request = error
        with self._lock:
            self._unread.append(request)
            self._broken = request is END or isinstance(request, RequestError)
            self._reading = not self._broken and len(self._unread) < READ_AHEAD
            if self._reading:
                self.receive()
        self.post(self._wake_reader)

    async def _requests(self) -> AsyncIterator[Any]:
        while True:
            while not self._unread:
                self._reader = self.server.loop.create_future()
                await self._reader
            with self._lock:
                request = self._unread.popleft()
                if not self._reading and not self._broken:
                    self._reading = True
                    self.receive()
            if request is END:
                return
            if isinstance(request, RequestError):
                raise request
            yield request

    def _wake_reader(self) -> None:
        _wake(self._reader)

    def _sent(self, event: Any) -> None:
        with self._lock:
            self._go_on(event)
            writer = self._writer if self._left() <= self._enough else None
        if writer is not None:
            self.post(_wake, writer)

    def _left(self) -> int:
        return len(self._unsent) + self._sending

    async def _sent_up_to(self, enough: int) -> None:
        """Waits until so few responses are left to send."""
        with self._lock:
            if self._left() <= enough:
                return
            self._enough, self._writer = enough, self.server.loop.create_future()
        await self._writer
        self._writer = None


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
