"""One gRPC call on the server's side: the context of the method that answers it, and how that method is run.

Core's events arrive on gRPC's thread (server.py). There a call is let in, its request read, and queued at once if that
is possible. Everything else happens on the event loop.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from resprobe_server.errors import UnknownMethod, Unreadable
from resprobe_server.principal import Authenticated
from resprobe_server.rpc.admission import origin_of
from resprobe_server.rpc.context import Code, Metadata, Reply, RequestContext, Respond
from resprobe_server.rpc.core import CoreCall
from resprobe_server.rpc.state import ServerState
from resprobe_server.rpc.status import CODES, DETAILS, make_status

LONGEST_NAME = 120  # characters of a method's name in an error
Direct: TypeAlias = Callable[[bytes, RequestContext], Any]  # see Method
Deserializer: TypeAlias = Callable[[bytes], Any]


@dataclass(frozen=True, eq=False)
class Method:
    """A method that the server has.

    Attributes:
        name: Full name, without the first slash.
        run: Answers a request, or an iterator of requests if they are a stream.
        parse: Makes a request from its bytes.
        serialize: Makes the bytes of a response.
        reads_stream: Whether the requests are a stream.
        direct: Gets the bytes of a request first, on gRPC's thread. It either hands on a Reply that will be set later
            and returns None, or returns the message, and a task runs the method. What it raises becomes the status of
            the call. If None, a task runs every request.
    """

    name: str
    run: Callable[[Any, Any], Any]
    parse: Deserializer
    serialize: Callable[[Any], bytes]
    reads_stream: bool = False
    direct: Direct | None = None


UNKNOWN = Method("unknown", lambda *_: None, bytes, bytes)  # stands for each method that the server does not have


class Call(Authenticated):
    """A call with one request and one response, and the base of those with streams.

    Methods see it as a CallContext. What a method raises becomes the status of its call.

    Attributes:
        method: Full name of the method, without the first slash; "unknown" if the server has no such method.
        streams: Whether the requests or responses are a stream.
        tallies: Whether the call is counted as one response when it ends well. If not, its responses are counted.
        cancelled: Whether the client has cancelled the call, or the deadline has passed.
        identifier: Id of the one request.
        model: Name of the model that the one request is for; empty if it is for none, or not known yet.
        has_place: Whether the call is counted among those under way; see admission.py.
        began: Time of arrival, on the clock of time.monotonic.
    """

    streams = False
    tallies = True
    cancelled = False
    identifier = model = ""
    has_place = False
    _callbacks: "tuple[Callable[[Call], None], ...]" = ()
    _origin = ""
    _code: Code | None = None
    _details = ""
    _direct = False  # whether it is answered without a task
    _refusal: Exception | None = None  # reason why its request is refused, until that is posted
    _task: "asyncio.Task[None] | None" = None

    def __init__(self, state: ServerState, method: Method, core: CoreCall) -> None:
        """Creates the call of a method from the call that core has accepted."""
        self._state, self._method, self._core = state, method, core
        self.method, self.began = method.name, time.monotonic()

    # What methods and gates use.

    def invocation_metadata(self) -> Metadata:
        """Returns the metadata that the client sent with the call."""
        return self._core.metadata

    def peer(self) -> str:
        """Returns the address of the client."""
        return self._core.peer()

    @property
    def origin(self) -> str:
        """Name that the shares of limits are counted under: the holder of a token, or else an IP address."""
        if not self._origin:
            self._origin = origin_of(self.peer()) if self.principal is None else f"the token of {self.principal.name}"
        return self._origin

    def time_remaining(self) -> float | None:
        """Returns the seconds until the deadline. If None, the client set no deadline."""
        deadline = self._core.deadline
        return None if deadline == math.inf else max(0.0, deadline - time.time())

    def code(self) -> Code | None:
        """Returns the status of the call. If None, the call has not ended."""
        return self._code

    def details(self) -> str:
        """Returns the message of the status."""
        return self._details

    def add_done_callback(self, callback: "Callable[[Call], None]") -> None:
        """Registers a callback that gets the call when it has ended.

        It runs on the event loop, or on gRPC's thread if the call was refused there.
        """
        self._callbacks += (callback,)

    async def abort(self, code: Code, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """Ends the call with a status."""
        self.finish(code, details, trailing_metadata)
        raise grpc.aio.AbortError

    # How it is run.

    def begin(self) -> None:
        """Lets the call in and asks for its request, or refuses it unread. Runs on gRPC's thread."""
        try:
            for gate in self._state.gates:
                gate.enter(self)
            if self._method is UNKNOWN:
                raise UnknownMethod(f"there is no method {readable(self._core.method)}")
            self._state.arrivals.expect(self)
        except Exception as error:
            self.fail(error)  # at once, so that clients that open calls by the thousand cost little
        else:
            self._core.close(self)
            self.open()

    def open(self) -> None:
        """Asks for what the method is run with. Runs on gRPC's thread."""
        self._core.receive(self)

    def break_off(self, error: Exception) -> None:
        """Ends the call with the status of an exception, whatever it is doing. Runs on the event loop."""
        self.fail(error)
        if self._task is not None:
            self._task.cancel()

    def start(self, request: Any) -> None:
        """Runs the method with its request, or with its iterator of requests."""
        if self._code is not None:
            return  # it was broken off
        if self.cancelled:
            self.finish(self._ending())
            return
        self._task = self._state.loop.create_task(self._run(request))
        self._state.running.add(self._task)
        self._task.add_done_callback(self._done)

    async def _run(self, request: Any) -> None:
        with self._state.tracer.call(self.method, self):
            try:
                await self.answer(request)
            except asyncio.CancelledError:
                self.finish(self._ending())
            except grpc.aio.AbortError:
                pass  # it has ended
            except Exception as error:
                self.fail(error)

    async def answer(self, request: Any) -> None:
        """Runs the method and sends its response."""
        response = await self._method.run(request, self)
        self.finish(Code.OK, message=self._method.serialize(response))

    def finish(self, code: Code, details: str = "", trailing: Metadata = (), message: bytes | None = None) -> None:
        """Ends the call with a status, unless it has ended."""
        if self._code is not None:
            return
        self._code, self._details = code, details
        # Counted before the client has its response and can rely on it.
        if code is not Code.OK or (self.tallies and self.streams):
            self._state.counts.count(self.method, code)
        elif self.tallies:
            self._state.answered(self.method, self.model, self.began)
        for callback in self._callbacks:
            callback(self)
        self._core.finish(0 if code is Code.OK else code.value[0], details, trailing, message)

    def fail(self, error: Exception) -> None:
        """Ends the call with the status of an exception."""
        status = make_status(error, self, self.identifier)
        self.finish(CODES[status.code], status.message, ((DETAILS, status.SerializeToString()),))

    def _ending(self) -> Code:
        return Code.DEADLINE_EXCEEDED if self.time_remaining() == 0 else Code.CANCELLED

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        elif self._direct:
            self.finish(self._ending())

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._state.running.discard(task)
        if self._code is None:  # it was cancelled before its first step
            self.finish(self._ending())
        if not task.cancelled():
            task.result()

    # From core, on gRPC's thread.

    def post(self, step: Callable[..., None], *arguments: Any) -> None:
        """Runs a step on the event loop."""
        self._state.loop.call_soon_threadsafe(step, *arguments)

    def failed(self, error: Exception) -> None:
        """Ends the call because an event of core could not be handled."""
        self.post(self.break_off, error)

    def closed(self, cancelled: bool) -> None:
        """Cancels the method if the client or the deadline has cancelled the call."""
        if cancelled:
            self.cancelled = True
            self.post(self._cancel)

    def received(self, data: bytes | None) -> None:
        """Handles the request. If None, it will not arrive."""
        if not self._state.arrivals.came(self):
            return
        direct = self._method.direct
        try:
            if data is None:
                raise Unreadable(f"{self.method} takes one request, and none came")
            self._state.arrivals.enter(self)
            request = direct(data, self) if direct and not self.cancelled else self.parse(data)
        except Exception as error:
            # If the client has cancelled the call, core reports that before it reports that the metadata was sent. The
            # error is not an argument of a step: its traceback holds this frame, and both would keep the message alive.
            self._refusal = error
            self._core.start(self)
        else:
            if request is None:
                self._direct = True
            else:
                self.post(self.start, request)

    def started(self) -> None:
        """Refuses the request, now that it is known whether the client has cancelled the call."""
        self.post(self._refuse)

    def sent(self, success: bool) -> None:
        """Does nothing: the one response is sent with the status."""

    def _refuse(self) -> None:
        error, self._refusal = self._refusal, None
        if self.cancelled or error is None:  # that is why there was no request
            self.finish(self._ending())
        else:
            self.fail(error)

    def parse(self, data: bytes) -> Any:
        """Returns the message in these bytes. Raises Unreadable if they are not the method's request."""
        try:
            message = self._method.parse(data)
        except DecodeError as error:
            raise Unreadable(f"the bytes of a request are not the message that {self.method} takes") from error
        if not self.streams:
            self.identifier = getattr(message, "id", "")
        return message

    def regard(self, model: str) -> None:
        """Notes which model the request is for."""
        self.model = model

    def reply(self, respond: Respond) -> Reply:
        """Returns the reply that answers the call."""
        return Reply(self, respond)


def readable(name: bytes) -> str:
    """Returns a name that a client sent as text of at most a line, with escapes where it is not UTF-8."""
    text = name[: LONGEST_NAME + 1].decode(errors="backslashreplace")
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"
