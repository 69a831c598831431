"""OpenTelemetry traces: where the time of a request went. Imported only where traces are wanted.

    <method>      the call; a child of the caller's span if its metadata has a W3C traceparent
    ├ request     one of a stream's; a unary call has none
    │ ├ decode    where pictures had to be decoded
    │ ├ queue     from its arrival to the start of its first batch
    │ └ inference each batch that a part of it ran in; linked to the batch
    batch         of its own trace, linked to the spans of the requests in it

Where spans go, and which are kept, is said by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and so on.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.context import Context as Parent
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from resprobe_server.rpc.context import CallContext
from resprobe_server.scheduling.request import Slice

Code = grpc.StatusCode
# What is the server's fault; other errors are the caller's (OpenTelemetry's conventions for gRPC).
FAULTS = {Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS}


class Tracing:
    """Makes the spans of one server."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """Starts it.

        Args:
            exporter: Where spans go; OTLP over gRPC unless given.
        """
        ours = Resource({SERVICE_NAME: "resprobe-server"})
        resource = Resource.create().merge(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("resprobe_server")
        self._propagator = TraceContextTextMapPropagator()

    def close(self) -> None:
        """Sends what is left. Slow; call it on a thread of its own."""
        self._provider.shutdown()

    def request(
        self, answer: Callable[[Any, CallContext], Awaitable[Any]]
    ) -> Callable[[Any, CallContext], Awaitable[Any]]:
        """What answers one request of a stream, with a span for each."""

        async def traced(request: Any, context: CallContext) -> Any:
            with self.span("request", id=request.id):
                return await answer(request, context)

        return traced

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[trace.Span]:
        """A span inside the one that is open."""
        return self._tracer.start_as_current_span(name, attributes=attributes)

    def current(self) -> trace.Span | None:
        """The span that is open, to be kept with a request on its way to the device; None if it is not recorded."""
        span = trace.get_current_span()
        return span if span.is_recording() else None

    def batch(
        self, graph: str, parts: Sequence[Slice], begin: float, end: float, error: Exception | None = None
    ) -> None:
        """Makes the spans of a batch that was run, and those of its requests.

        Args:
            graph: Its name.
            parts: The requests in it.
            begin: On the clock of time.monotonic.
            end: On the same.
            error: Why it failed.
        """
        traced = [(part, part.work.span) for part in parts if part.work.span is not None]
        if not traced:
            return
        links = [trace.Link(span.get_span_context()) for _, span in traced]
        rows = sum(part.stop - part.start for part in parts)
        facts: dict[str, str | int] = {"graph": graph, "images": rows, "requests": len(parts)}
        batch = self._interval("batch", Parent(), begin, end, links, facts, error)
        for part, span in traced:
            parent = trace.set_span_in_context(span)
            if part.start == 0:
                self._interval("queue", parent, part.work.arrived, begin)
            facts = {"graph": graph, "images": part.stop - part.start}
            self._interval("inference", parent, begin, end, [trace.Link(batch)], facts, error)

    @contextmanager
    def call(self, name: str, context: CallContext) -> Iterator[None]:
        """A span for a call, open while its method runs. `name` is the full name of the method."""
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        service, _, method = name.partition("/")
        with self._tracer.start_as_current_span(
            name,
            self._propagator.extract(metadata, Parent()),
            trace.SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        ) as span:
            yield
            code = context.code() or Code.UNKNOWN
            span.set_attribute("rpc.grpc.status_code", code.value[0])
            if code in FAULTS:
                span.set_status(trace.StatusCode.ERROR, context.details())

    def _interval(
        self,
        name: str,
        parent: Parent,
        begin: float,
        end: float,
        links: Sequence[trace.Link] = (),
        facts: Mapping[str, str | int] | None = None,
        error: Exception | None = None,
    ) -> trace.SpanContext:
        """A span of the past, from `begin` to `end` on the clock of time.monotonic."""
        shift = time.time() - time.monotonic()
        span = self._tracer.start_span(name, parent, links=links, attributes=facts, start_time=_ns(begin + shift))
        if error is not None:
            span.record_exception(error)
            span.set_status(trace.StatusCode.ERROR, str(error))
        span.end(_ns(end + shift))
        return span.get_span_context()


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
