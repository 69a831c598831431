"""One gRPC call on the server's side: what the method that answers it gets as its context, and how it is run.

Core's reports come on the poller's thread (server.py), where a call is let in and its request read, and queued at
once if it can be. All else happens on the event loop.
"""

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs leave it out

from resprobe_server.errors import UnknownMethod, Unreadable
from resprobe_server.rpc.context import Code, Metadata, RequestContext
from resprobe_server.rpc.origin import origin_of
from resprobe_server.rpc.reply import Reply, Respond
from resprobe_server.rpc.status import CODES, DETAILS, make_status
from resprobe_server.security.principal import Authenticated

if TYPE_CHECKING:
    from resprobe_server.observability.traces import Tracing
    from resprobe_server.rpc.server import Server

LONGEST_NAME = 120  # characters of a method's name in an error
Direct = Callable[[bytes, RequestContext], Any]  # see Server.add


class Call(Authenticated):
    """A call with one request and one response, and the base of those with streams.

    To methods it is the part of grpc.aio.ServicerContext that services, health checks and reflection use. What a
    method raises becomes the status of its call.

    Attributes:
        method: Its full name, without the first slash; "unknown" if nobody serves it.
        streams: Whether its requests or responses are a stream.
        tallies: Whether it counts as one answer where it ends well; else its responses do.
        cancelled: Whether the caller has gone, or the deadline has passed.
        identifier: What the caller named its one request.
        has_place: Whether it is counted among those under way; see admission.py.
        began: When it came, on the clock of time.monotonic.
    """

    streams = False
    tallies = True
    cancelled = False
    identifier = ""
    has_place = False
    started = False  # whether the initial metadata is on its way
    _callbacks: "tuple[Callable[[Call], None], ...]" = ()
    _origin = ""
    _code: Code | None = None
    _details = ""
    _direct = False  # whether it is answered without a task
    _watched = False  # whether core is to report its end
    _task: "asyncio.Task[None] | None" = None

    def __init__(self, server: "Server", event: Any, method: str, handler: Any, direct: "Direct | None") -> None:
        """Takes a call in.

        Args:
            server: That it came to.
            event: By which core reported it.
            method: See above.
            handler: The grpc.RpcMethodHandler of its method. If None, nobody serves it.
            direct: See Server.add. If None, there is none.
        """
        self.server, self.method, self.handler = server, method, handler
        self.began = time.monotonic()
        self._event, self._core, self._take = event, event.call, direct

    # What methods use.

    def invocation_metadata(self) -> Metadata:
        """What the caller sent along."""
        metadata: Metadata = self._event.invocation_metadata
        return metadata

    def peer(self) -> str:
        """The address of the caller."""
        return str(self._core.peer().decode(errors="replace"))

    @property
    def origin(self) -> str:
        """Who pays for the call in shares of the limits: the holder of a token, or else an IP address."""
        if not self._origin:
            self._origin = origin_of(self.peer()) if self.principal is None else f"the token of {self.principal.name}"
        return self._origin

    def time_remaining(self) -> float | None:
        """Seconds. If None, the caller set no deadline."""
        deadline: float = self._event.call_details.deadline
        return None if deadline == math.inf else max(0.0, deadline - time.time())

    def code(self) -> Code | None:
        """The status that it ended with. If None, it has not ended."""
        return self._code

    def details(self) -> str:
        """The text of that status."""
        return self._details

    def add_done_callback(self, callback: "Callable[[Call], None]") -> None:
        """Calls it with the call that has ended: on the event loop, or on the poller's thread if it was refused."""
        self._callbacks += (callback,)

    async def abort(self, code: Code, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """Ends the call."""
        self.finish(code, details, trailing_metadata)
        raise grpc.aio.AbortError

    # How it is run.

    def begin(self) -> None:
        """Lets the call in and asks for its request, or refuses it unread. On the poller's thread."""
        try:
            for gate in self.server.gates:
                gate.enter(self)
            if self.handler is None:
                raise UnknownMethod(f"there is no method {readable(self._event.call_details.method)}")
            self.server.arrivals.expect(self)
        except Exception as error:
            self.fail(error)  # at once: whoever opens calls by the thousand must cost little
        else:
            self._watched = True
            self.batch(self._closed, cygrpc.ReceiveCloseOnServerOperation(0))
            self.open()

    def open(self) -> None:
        """Asks for what the method is run with. On the poller's thread."""
        self.receive()

    def receive(self) -> None:
        """Asks for a request."""
        self.batch(self.received, cygrpc.ReceiveMessageOperation(0))

    def break_off(self, error: Exception) -> None:
        """Ends the call, whatever it is at."""
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
        tracing = self.server.tracing
        run = self._traced(tracing, request) if tracing else self._run(request)
        self._task = self.server.loop.create_task(run)
        self.server.running.add(self._task)
        self._task.add_done_callback(self._done)

    async def _run(self, request: Any) -> None:
        try:
            await self.answer(request)
        except asyncio.CancelledError:
            self.finish(self._ending())
        except grpc.aio.AbortError:
            pass  # it has ended
        except Exception as error:
            self.fail(error)

    async def _traced(self, tracing: "Tracing", request: Any) -> None:
        with tracing.call(self.method, self):
            await self._run(request)

    async def answer(self, request: Any) -> None:
        """Runs the method."""
        response = await self.handler.unary_unary(request, self)
        self.finish(Code.OK, message=self.handler.response_serializer(response))

    def finish(self, code: Code, details: str = "", trailing: Metadata = (), message: bytes | None = None) -> None:
        """Ends the call, unless it has ended."""
        if self._code is not None:
            return
        self._code, self._details = code, details
        number = 0 if code is Code.OK else code.value[0]
        operations = [cygrpc.SendStatusFromServerOperation(trailing, number, details.encode(errors="replace"), 0)]
        if not self.started:
            operations.append(cygrpc.SendInitialMetadataOperation(None, 0))
        if message is not None:
            operations.append(cygrpc.SendMessageOperation(message, 0))
        if not self._watched:  # it was refused unread: one batch for the whole call
            operations.append(cygrpc.ReceiveCloseOnServerOperation(0))
        if self.tallies or code is not Code.OK:
            self.server.calls.count(self.method, code)  # all this first: who has its answer may rely on it
        for callback in self._callbacks:
            callback(self)
        self.batch(_ignore, *operations)

    def fail(self, error: Exception) -> None:
        """Ends the call with the status that an exception stands for."""
        status = make_status(error, self, self.identifier)
        self.finish(CODES[status.code], status.message, ((DETAILS, status.SerializeToString()),))

    def _post_refusal(self, error: Exception, _: Any) -> None:
        self.post(self._refuse, error)

    def _refuse(self, error: Exception) -> None:
        if self.cancelled:  # that is why there was no request
            self.finish(self._ending())
        else:
            self.fail(error)

    def _ending(self) -> Code:
        return Code.DEADLINE_EXCEEDED if self.time_remaining() == 0 else Code.CANCELLED

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        elif self._direct:
            self.finish(self._ending())

    def _done(self, task: "asyncio.Task[None]") -> None:
        self.server.running.discard(task)
        if self._code is None:  # it was cancelled before its first step
            self.finish(self._ending())
        if not task.cancelled():
            task.result()

    # Between core and the event loop.

    def batch(self, tag: Callable[[Any], None], *operations: Any) -> None:
        """Asks core for operations; the tag is called on the poller's thread when they are done."""
        if not self.server.stopped:
            self._core.start_server_batch(operations, tag)

    def post(self, step: Callable[..., None], *arguments: Any) -> None:
        """Does a step on the event loop."""
        self.server.loop.call_soon_threadsafe(step, *arguments)

    def _closed(self, event: Any) -> None:
        if event.batch_operations[0].cancelled():
            self.cancelled = True
            self.post(self._cancel)

    def received(self, event: Any) -> None:
        """A request is there, or will not come. On the poller's thread."""
        if not self.server.arrivals.came(self):
            return
        data = event.batch_operations[0].message()
        try:
            if data is None:
                raise Unreadable(f"{self.method} takes one request, and none came")
            self.server.arrivals.enter(self)
            request = self._take(data, self) if self._take and not self.cancelled else self.parse(data)
        except Exception as error:
            # Where the caller has gone, core reports that next: its answer to this operation comes after it. The error
            # is no variable of this frame, which its traceback holds: the two would keep the message alive.
            self.started = True
            self.batch(partial(self._post_refusal, error), cygrpc.SendInitialMetadataOperation(None, 0))
        else:
            if request is None:
                self._direct = True
            else:
                self.post(self.start, request)

    def parse(self, data: bytes) -> Any:
        """The message in these bytes. Raises Unreadable if there is none."""
        try:
            message = self.handler.request_deserializer(data)
        except DecodeError as error:
            raise Unreadable(f"the bytes of a request are not the message that {self.method} takes") from error
        if not self.streams:
            self.identifier = getattr(message, "id", "")
        return message

    def reply(self, respond: Respond) -> Reply:
        """What is to be set to answer the call, for who takes its request directly."""
        return Reply(self, respond)


def readable(name: bytes) -> str:
    """A name that a caller sent, whatever its bytes are: escaped where it is not UTF-8, and not longer than a line."""
    text = name[: LONGEST_NAME + 1].decode(errors="backslashreplace")
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"


def _ignore(_: Any) -> None:
    pass
