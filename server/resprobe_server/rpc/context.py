"""What methods, gates and the fast path of a service see of a call: protocols, so that none of them knows Call.

`CallContext` is the part of grpc.aio.ServicerContext that methods use. It is structurally a supertype of the context in
generated code, so the methods of a servicer can name it without a cast.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import grpc

from resprobe_server.principal import Principal

Code = grpc.StatusCode
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
Respond: TypeAlias = Callable[[Any], bytes]  # serializes the response from a result; it may raise, as a method may


class CallContext(Protocol):
    """Context of a method: metadata, peer, deadline and status of its call."""

    def invocation_metadata(self) -> Metadata | None:
        """Returns the metadata that the client sent with the call."""

    def peer(self) -> str:
        """Returns the address of the client, such as ipv4:10.0.0.1:4711."""

    def time_remaining(self) -> float | None:
        """Returns the seconds until the deadline. If None, the client set no deadline."""

    def code(self) -> Code | None:
        """Returns the status of the call. If None, the call has not ended."""

    def details(self) -> str:
        """Returns the message of the status."""


class RequestContext(CallContext, Protocol):
    """Context of a method that reads its request itself, from bytes, and is answered with a reply.

    Attributes:
        principal: Holder of the token that the call carries. If None, the method needs no token.
        cancelled: Whether the client has cancelled the call, or the deadline has passed.
        identifier: Id of the request of a unary call; empty if it has none.
        streams: Whether the requests or responses are a stream.
    """

    principal: Principal | None
    cancelled: bool
    identifier: str
    streams: bool

    def parse(self, data: bytes, /) -> Any:
        """Returns the message in these bytes. Raises Unreadable if they are not the method's request."""

    def regard(self, model: str, /) -> None:
        """Notes which model the request is for, once that is known."""

    def reply(self, respond: Respond, /) -> "Reply":
        """Returns the reply that answers the request; `respond` serializes the response from its result."""


class GateContext(CallContext, Protocol):
    """Context of a gate: a call that has arrived and whose request was not read.

    Attributes:
        method: Full name of the method without the first slash; "unknown" if the server has no such method.
        principal: Holder of the token that the call carries, once a gate has set it.
        streams: Whether the requests or responses are a stream.
    """

    method: str
    principal: Principal | None
    streams: bool

    @property
    def origin(self) -> str:
        """Name that the shares of limits are counted under: the holder of a token, or else an IP address."""

    def add_done_callback(self, callback: Callable[[Any], None], /) -> None:
        """Registers a callback that gets the call when it has ended."""

    def break_off(self, error: Exception, /) -> None:
        """Ends the call with the status of an exception. Runs on the event loop."""


class LimitedCall(GateContext, Protocol):
    """Call as limits see it.

    Attributes:
        began: Time of arrival, on the clock of time.monotonic.
        has_place: Whether it is counted among the calls under way.
    """

    began: float
    has_place: bool

    def post(self, step: Callable[..., None], /, *arguments: Any) -> None:
        """Runs a step on the event loop."""


class Gate(Protocol):
    """Decides which calls are let in."""

    def enter(self, call: GateContext, /) -> None:
        """Raises a RequestError to refuse the call before its request is read. Runs on gRPC's thread."""


class Answerable(Protocol):
    """Call that a reply answers.

    Attributes:
        cancelled: Whether the client has cancelled the call, or the deadline has passed.
    """

    cancelled: bool

    def code(self) -> Code | None:
        """Returns the status of the call. If None, the call has not ended."""

    def add_done_callback(self, callback: Callable[[Any], None], /) -> None:
        """Registers a callback that gets the call when it has ended."""

    def finish(self, code: Code, details: str = "", trailing: Metadata = (), message: bytes | None = None) -> None:
        """Ends the call."""

    def fail(self, error: Exception, /) -> None:
        """Ends the call with the status of an exception."""


class Reply:
    """Promise of the response of a call that is answered without a task; see Promise in scheduling/request.py."""

    __slots__ = ("_call", "respond")

    def __init__(self, call: Answerable, respond: Respond) -> None:
        """Creates the reply of a call; `respond` serializes the response from a result."""
        self._call, self.respond = call, respond

    def cancelled(self) -> bool:
        """Returns whether the client has cancelled the call."""
        return self._call.cancelled

    def done(self) -> bool:
        """Returns whether the call has ended."""
        return self._call.code() is not None

    def set_result(self, result: Any) -> None:
        """Answers with the response to a result."""
        try:
            response = self.respond(result)
        except Exception as error:
            self.set_exception(error)
        else:
            self.answer(response)

    def answer(self, response: bytes) -> None:
        """Ends the call with a response."""
        self._call.finish(Code.OK, message=response)

    def set_exception(self, error: Exception) -> None:
        """Ends the call with the status of an exception."""
        self._call.fail(error)
