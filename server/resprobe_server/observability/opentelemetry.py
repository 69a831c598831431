"""OpenTelemetry traces: how the time of a request was spent. Imported only if traces are on.

    <method>      the call; a child of the client's span if its metadata has a W3C traceparent
    ├ request     one of a stream's; a unary call has none
    │ ├ decode    where pictures had to be decoded
    │ ├ queue     from its arrival to the start of its first batch
    │ └ inference each batch that a part of it ran in; linked to the batch
    batch         of its own trace, linked to the spans of the requests in it

OpenTelemetry's own environment variables say where spans are sent, and which are kept: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and so on.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import grpc
from opentelemetry import trace
from opentelemetry.context import Context as Parent
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from resprobe_server.tracer import TracedCall, TracedPart

Code = grpc.StatusCode
# Errors of the server; other errors are the client's (OpenTelemetry's conventions for gRPC).
FAULTS = {Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS}


class OpenTelemetryTracer:
    """Tracer that records the spans of one server, with the attributes of tracer.Tracer."""

    follows_tasks = True  # the parent of a span is that of its task

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """Starts the tracer.

        Args:
            exporter: Receiver of the spans. If None, OTLP over gRPC.
        """
        ours = Resource({SERVICE_NAME: "resprobe-server"})
        resource = Resource.create().merge(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("resprobe_server")
        self._propagator = TraceContextTextMapPropagator()

    def close(self) -> None:
        """Exports the spans that are left. Slow; call it on a thread of its own."""
        self._provider.shutdown()

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[trace.Span]:
        """Returns a context with a span inside the current one."""
        return self._tracer.start_as_current_span(name, attributes=attributes)

    def current(self) -> trace.Span | None:
        """Returns the current span, to be kept with a request. If None, it is not recorded."""
        span = trace.get_current_span()
        return span if span.is_recording() else None

    def trace_id(self) -> str:
        """Returns the id of the current trace in hexadecimal; empty if it is not recorded."""
        span = trace.get_current_span()
        return trace.format_trace_id(span.get_span_context().trace_id) if span.is_recording() else ""

    def batch(
        self, graph: str, parts: Sequence[TracedPart], begin: float, end: float, error: Exception | None = None
    ) -> None:
        """Records the spans of a batch that was run, and of its requests. Arguments are those of Tracer.batch."""
        traced = [(part, part.span) for part in parts if isinstance(part.span, trace.Span)]
        if not traced:
            return
        links = [trace.Link(span.get_span_context()) for _, span in traced]
        rows = sum(part.stop - part.start for part in parts)
        facts: dict[str, str | int] = {"graph": graph, "images": rows, "requests": len(parts)}
        batch = self._interval("batch", Parent(), begin, end, links, facts, error)
        for part, span in traced:
            parent = trace.set_span_in_context(span)
            if part.start == 0:
                self._interval("queue", parent, part.arrived, begin)
            facts = {"graph": graph, "images": part.stop - part.start}
            self._interval("inference", parent, begin, end, [trace.Link(batch)], facts, error)

    @contextmanager
    def call(self, method: str, call: TracedCall) -> Iterator[None]:
        """Opens a span for a call, a child of the client's, while its method runs. `method` is the full name."""
        metadata = {key: value for key, value in call.invocation_metadata() or () if isinstance(value, str)}
        service, _, name = method.partition("/")
        with self._tracer.start_as_current_span(
            method,
            self._propagator.extract(metadata, Parent()),
            trace.SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
        ) as span:
            yield
            code = call.code() or Code.UNKNOWN
            span.set_attribute("rpc.grpc.status_code", code.value[0])
            if code in FAULTS:
                span.set_status(trace.StatusCode.ERROR, call.details())

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
        """Records a span of the past, from `begin` to `end` on the clock of time.monotonic. Returns its context."""
        shift = time.time() - time.monotonic()
        span = self._tracer.start_span(name, parent, links=links, attributes=facts, start_time=_ns(begin + shift))
        if error is not None:
            span.record_exception(error)
            span.set_status(trace.StatusCode.ERROR, str(error))
        span.end(_ns(end + shift))
        return span.get_span_context()


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
