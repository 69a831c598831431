"""State of a server that its gates, calls and streams share. A leaf: it knows neither the server nor a call."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from resprobe_server.rpc.arrivals import Arrivals
from resprobe_server.rpc.context import Gate
from resprobe_server.rpc.status_counts import Calls
from resprobe_server.tracer import NullTracer, Tracer


class Stream(Protocol):
    """Stream whose requests are answered one by one."""

    def close(self) -> None:
        """Reads no more requests; the stream ends when those that it has read are answered."""


@dataclass(eq=False, slots=True)
class ServerState:
    """State of a server.

    Attributes:
        gates: Gates that each call passes, in this order.
        counts: Statuses that calls ended with, counted.
        arrivals: Calls whose request has not arrived.
        tracer: Traces calls.
        loop: Event loop that methods run on.
        running: Tasks of calls whose methods run.
        streams: Open streams whose requests are answered one by one.
        draining: Whether streams read no more requests.
    """

    gates: Sequence[Gate] = ()
    counts: Calls = field(default_factory=Calls)
    arrivals: Arrivals = field(default_factory=Arrivals)
    tracer: Tracer = field(default_factory=NullTracer)
    loop: asyncio.AbstractEventLoop = field(init=False)
    running: set[asyncio.Task[None]] = field(default_factory=set)
    streams: set[Stream] = field(default_factory=set)
    draining: bool = False

    def answered(self, method: str, model: str, began: float) -> None:
        """Counts a request that was answered with OK; arguments are those of Calls.answered."""
        tracer = self.tracer
        self.counts.answered(method, model, began, tracer.trace_id() if tracer.follows_tasks else "")
