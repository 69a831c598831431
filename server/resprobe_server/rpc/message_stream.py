"""A gRPC call with a stream of requests or responses: its messages are read and sent ahead, within bounds."""

import asyncio
import math
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, NoReturn

from resprobe_server.errors import RequestError
from resprobe_server.rpc.call import Call, Method
from resprobe_server.rpc.context import Code, Metadata
from resprobe_server.rpc.core import CoreCall
from resprobe_server.rpc.state import ServerState
from resprobe_server.rpc.stream_states import Action, Intake, State

READ_AHEAD = 8  # messages that were read and not yet asked for
WRITE_AHEAD = 16  # messages that were written and not yet sent
END = object()  # after the last request


class SendingCall(Call):
    """A call with several responses, which are sent one after the other; those of one step of the loop in one go."""

    streams = True

    def __init__(self, state: ServerState, method: Method, core: CoreCall) -> None:
        """Creates the call of a method from the call that core has accepted."""
        super().__init__(state, method, core)
        self._lock = threading.Lock()  # both threads touch what follows
        self._unsent: deque[bytes] = deque()
        self._sending = False

    def send(self, data: bytes) -> None:
        """Sends a response after those before it. Runs on the event loop."""
        with self._lock:
            self._unsent.append(data)
            if self._sending or len(self._unsent) > 1:
                return
        self._state.loop.call_soon(self._begin_to_send)

    def break_off(self, error: Exception) -> None:
        """Ends the call, whatever it is doing; messages that were not sent are dropped."""
        with self._lock:
            self._unsent.clear()
        super().break_off(error)

    def sent(self, success: bool) -> None:
        """Sends the next response. Without success the call was cancelled, and nothing more is sent."""
        with self._lock:
            self._sending = False
            if not success:
                self._unsent.clear()
            elif self._unsent:
                self._send()

    def _begin_to_send(self) -> None:
        with self._lock:
            if self._unsent and not self._sending:
                self._send()

    def _send(self) -> None:
        if self._code is not None:  # the status was sent
            self._unsent.clear()
            return
        data = self._unsent.popleft()
        self._sending = True
        self._core.send(self, data, bool(self._unsent))


class StreamCall(SendingCall):
    """A call whose method gets an iterator of requests if they are a stream, and yields or writes responses."""

    def __init__(self, state: ServerState, method: Method, core: CoreCall) -> None:
        """Creates the call of a method from the call that core has accepted."""
        super().__init__(state, method, core)
        self._intake = Intake(READ_AHEAD, math.inf)
        self._unread: deque[Any] = deque()  # requests, then END or the error that breaks them off
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._enough = 0  # the writer waits until so few are unsent

    async def write(self, message: Any) -> None:
        """Sends a response. Waits while many are on their way."""
        self.send(self._method.serialize(message))
        if len(self._unsent) > WRITE_AHEAD:
            await self._sent_up_to(WRITE_AHEAD // 2)

    async def abort(self, code: Code, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """Ends the call with a status, after the responses that were written."""
        await self._sent_up_to(0)
        await super().abort(code, details, trailing_metadata)

    async def answer(self, request: Any) -> None:
        """Runs the method and sends its responses."""
        try:
            responses = self._method.run(request, self)
            if hasattr(responses, "__aiter__"):
                async with aclosing(responses):
                    async for response in responses:
                        await self.write(response)
            else:
                await responses  # it writes
        except Exception:
            await self._sent_up_to(0)  # the status follows what was written
            raise
        await self._sent_up_to(0)
        self.finish(Code.OK)

    def open(self) -> None:
        """Asks for the request, or for the first of a stream, which the method waits for. Runs on gRPC's thread."""
        if self._method.reads_stream:
            self._do(self._intake.begin())
            self.post(self.start, self._requests())
        else:
            super().open()

    def received(self, data: bytes | None) -> None:
        """Queues a request and asks for the next if there is room. Runs on gRPC's thread."""
        if not self._method.reads_stream:
            super().received(data)
            return
        first = self._intake.state is State.FIRST
        if first and not self._state.arrivals.came(self):
            return
        try:
            if first:
                self._state.arrivals.enter(self)
            request = END if data is None else self.parse(data)
        except RequestError as error:
            request = error
        if data is None or isinstance(request, RequestError):
            action = self._intake.close(None)
        else:
            action = self._intake.request(len(data))
        self._unread.append(request)
        self._do(action)
        self.post(self._wake_reader)

    def sent(self, success: bool) -> None:
        """Sends the next response, and wakes the method if few are left. Runs on gRPC's thread."""
        super().sent(success)
        with self._lock:
            writer = self._writer if self._left() <= self._enough else None
        if writer is not None:
            self.post(_wake, writer)

    def _do(self, action: Action) -> None:
        if action is Action.ASK:
            self._core.receive(self)

    async def _requests(self) -> AsyncIterator[Any]:
        while True:
            while not self._unread:
                self._reader = self._state.loop.create_future()
                await self._reader
            request = self._unread.popleft()
            if request is END:
                return
            if isinstance(request, RequestError):
                raise request
            self._do(self._intake.answer())
            yield request

    def _wake_reader(self) -> None:
        if self._reader is not None:
            _wake(self._reader)

    def _left(self) -> int:
        return len(self._unsent) + self._sending

    async def _sent_up_to(self, enough: int) -> None:
        """Waits until so few responses are left to send."""
        with self._lock:
            if self._left() <= enough:
                return
            self._enough, self._writer = enough, self._state.loop.create_future()
        await self._writer
        self._writer = None


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
