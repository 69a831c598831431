"""Counts what the methods of a service answered, whatever the service: by method and status."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from resprobe_server.status import Context, ending

if TYPE_CHECKING:
    from resprobe_server.tracing import Tracing

OK = grpc.StatusCode.OK


class Calls:
    """The calls of all services.

    An interceptor would cost every call several microseconds in grpcio; wrapping the methods once costs a dictionary
    entry. Calls that grpcio refuses by itself are not seen: unknown methods, messages over the limit.

    Attributes:
        counts: Requests by full method name and name of the status. Each request of a stream counts; the stream itself
            counts where it ends with an error.
    """

    def __init__(self, tracing: "Tracing | None" = None) -> None:
        self._tracing = tracing
        self.counts: Counter[tuple[str, str]] = Counter()

    def watch(
        self, servicer: object, service: ServiceDescriptor, status: Callable[[Any], grpc.StatusCode] = lambda _: OK
    ) -> None:
        """Counts the calls of a servicer from now on. Do it before it is added to a server.

        Args:
            servicer: Whose methods are replaced.
            service: Names them.
            status: Of a response in a stream, which may carry an error.
        """
        for method in service.methods:
            name = f"{service.full_name}/{method.name}"
            plain = getattr(servicer, method.name)
            watched = self._stream(name, plain, status) if method.server_streaming else self._unary(name, plain)
            setattr(servicer, method.name, self._tracing.call(name, watched) if self._tracing else watched)

    def _unary(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        counts, ok = self.counts, (name, OK.name)

        async def watched(request: object, context: Context) -> object:
            try:
                response = await method(request, context)
            except BaseException:
                counts[name, ending(context).name] += 1
                raise
            counts[ok] += 1
            return response

        return watched

    def _stream(
        self, name: str, method: Callable[..., AsyncGenerator[Any, None]], status: Callable[[Any], grpc.StatusCode]
    ) -> Callable[..., Any]:
        counts = self.counts

        # A coroutine that writes is grpcio's other form of a method that yields. It costs no second generator, and it
        # closes the method's own at once when the call is cancelled.
        async def watched(requests: AsyncIterable[object], context: Context) -> None:
            try:
                async with aclosing(method(requests, context)) as responses:
                    async for response in responses:
                        counts[name, status(response).name] += 1
                        await context.write(response)
            except BaseException:
                counts[name, ending(context).name] += 1
                raise

        return watched
