"""Tracing as the rest of the server sees it: spans of calls, of the stages of a request, and of batches.

Where traces are off, `NullTracer` does nothing, so that every request takes the same path and OpenTelemetry stays
optional (observability/opentelemetry.py implements the protocol with it).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import grpc

NOTHING = nullcontext()


class TracedPart(Protocol):
    """Rows of one request in a batch."""

    @property
    def start(self) -> int:
        """First row of the request that is in the batch."""

    @property
    def stop(self) -> int:
        """Row of the request after the last one in the batch."""

    @property
    def arrived(self) -> float:
        """Time of the request's arrival, on the clock of time.monotonic."""

    @property
    def span(self) -> object | None:
        """Span of the request, as `Tracer.current` returned it when the request was accepted."""


class TracedCall(Protocol):
    """Call that gets a span."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """Returns the client's metadata, which may name the parent of the span."""

    def code(self) -> grpc.StatusCode | None:
        """Returns the status of the call. If None, the call has not ended."""

    def details(self) -> str:
        """Returns the message of the status."""


class Tracer(Protocol):
    """Makes the spans of a server.

    Attributes:
        follows_tasks: Whether the span of a request is that of its task, so that each request needs a task.
    """

    follows_tasks: bool

    def call(self, method: str, call: TracedCall) -> AbstractContextManager[object]:
        """Returns a context with a span for a call, open while its method runs. `method` is the full name."""

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[object]:
        """Returns a context with a span inside the current one."""

    def current(self) -> object | None:
        """Returns the current span, to be kept with a request. If None, nothing is recorded."""

    def trace_id(self) -> str:
        """Returns the id of the current trace in hexadecimal; empty if nothing is recorded."""

    def batch(
        self, graph: str, parts: Sequence[TracedPart], begin: float, end: float, error: Exception | None = None
    ) -> None:
        """Records the spans of a batch that was run, and of its requests.

        Args:
            graph: Name of the graph.
            parts: Rows of requests in the batch.
            begin: Start of the batch, on the clock of time.monotonic.
            end: End of the batch, on the same clock.
            error: Reason why the batch failed. If None, it did not fail.
        """

    def close(self) -> None:
        """Exports the spans that are left. Slow; call it on a thread of its own."""


class NullTracer:
    """Tracer that records nothing."""

    follows_tasks = False

    def call(self, method: str, call: TracedCall) -> AbstractContextManager[object]:
        """Returns a context without a span."""
        return NOTHING

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[object]:
        """Returns a context without a span."""
        return NOTHING

    def current(self) -> object | None:
        """Says that there is no span, by None."""
        return None

    def trace_id(self) -> str:
        """Returns an empty text: there are no traces."""
        return ""

    def batch(
        self, graph: str, parts: Sequence[TracedPart], begin: float, end: float, error: Exception | None = None
    ) -> None:
        """Records nothing."""

    def close(self) -> None:
        """Does nothing: there are no spans to export."""
