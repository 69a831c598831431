"""What a method, a gate, and the fast path of a service see of a call: protocols, so that none of them knows Call.

`CallContext` is the part of grpc.aio.ServicerContext that methods use. It is structurally a supertype of the context in
generated code, so a servicer's methods can name it without a cast.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import grpc

from resprobe_server.rpc.reply import Reply, Respond
from resprobe_server.security.principal import Principal

Code = grpc.StatusCode
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]


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

    def reply(self, respond: Respond, /) -> Reply:
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

    def add_done_callback(self, callback: Callable[[Any], None], /) -> None:
        """Registers a callback that gets the call when it has ended."""

    @property
    def origin(self) -> str:
        """Name that the shares of limits are counted under: the holder of a token, or else an IP address."""

    def break_off(self, error: Exception, /) -> None:
        """Ends the call with the status of an exception. Runs on the event loop."""
