"""A gRPC server on the event loop, straight on gRPC's core.

grpc.aio takes a call through the loop at each of its steps: there it is accepted, there its request is read, there
its end is watched for. Here a thread takes core's reports, reads and parses, and the loop is woken once for a call,
with the request; benchmarks/README.md has what that saves. The names are those of grpc.aio.Server, as far as generated
code, health checks, reflection and this project use them.

`cygrpc` is the module on which both servers of grpcio stand. It is not public: what is used of it, grpcio's own
grpc/_server.py uses in the same way.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import grpc
import structlog
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs leave it out

from resprobe_server.rpc.arrivals import Arrivals
from resprobe_server.rpc.call import Call, Direct
from resprobe_server.rpc.context import GateContext
from resprobe_server.rpc.message_stream import StreamCall
from resprobe_server.rpc.request_stream import Each, EachCall
from resprobe_server.rpc.status_counts import Calls

if TYPE_CHECKING:
    from resprobe_server.observability.traces import Tracing

QUIET, LONGEST_HOLD = 0.05, 0.5  # seconds: more than it takes from an answer to the next call, and the most
NOBODY = Call, "unknown", None, None  # answers a method that is not served
Deserializer: TypeAlias = Callable[[bytes], Any]
log = structlog.get_logger()


class Gate(Protocol):
    """Says which calls come in."""

    def enter(self, call: GateContext) -> None:
        """Raises a RequestError to refuse the call before its request is read. Called on the poller's thread."""


class Worker(Protocol):
    """Does what calls ask for, and can say when it is of no use to hurry with the next."""

    @property
    def busy(self) -> bool:
        """Whether it has something to do for a while."""

    def rest(self) -> None:
        """Waits for a moment, but not when there is nothing left to do."""


class Server:
    """A server; see the top of the module.

    Attributes:
        gates: What each call passes, in this order.
        calls: Counts what they ended with.
        arrivals: Waits for their requests.
        tracing: Traces them. If None, there are no traces.
        loop: Where methods run.
        running: The calls whose methods do.
        streams: Those of them that are an EachCall.
        failure: Why core serves no more calls. If None, it does.
        draining: Whether these read no more.
        stopped: Whether all calls have ended; core takes no more operations then.
    """

    def __init__(
        self,
        options: Sequence[tuple[str, int]] = (),
        gates: Sequence[Gate] = (),
        calls: Calls | None = None,
        tracing: "Tracing | None" = None,
        worker: Worker | None = None,
        arrivals: Arrivals | None = None,
        on_failure: Callable[[], None] | None = None,
        reader: Callable[[str, Deserializer], Deserializer] | None = None,
    ) -> None:
        """Makes a server that does not listen yet.

        Args:
            options: Channel arguments of gRPC.
            gates: See above.
            calls: See above. If None, its own.
            tracing: See above.
            worker: Worker that runs the graphs, whose pace the poller keeps. If None, there is none.
            arrivals: See above. If None, requests may come at any time.
            on_failure: What to do when core fails and no more calls can be served. If None, nothing.
            reader: From a method's full name and the deserializer of its generated code to the one that is used. If
                None, the generated ones are.
        """
        self.gates, self.calls, self.tracing = gates, calls or Calls(), tracing
        self._worker, self.arrivals = worker, arrivals or Arrivals()
        self._looking, self._on_failure, self._reader = ExitStack(), on_failure, reader
        self.failure: Exception | None = None
        self.loop: asyncio.AbstractEventLoop
        self.running: set[asyncio.Task[None]] = set()
        self.streams: set[EachCall] = set()
        self.draining = self.stopped = False
        self._direct: Mapping[str, Direct | Each] = {}  # of the service that is being added
        self._handlers: dict[bytes, tuple[type[Call], str, Any, Any]] = {}
        self._came = 0.0  # the last call, on the clock of time.monotonic
        self._events = cygrpc.CompletionQueue()
        self._core = cygrpc.Server(tuple(options), False)
        self._core.register_completion_queue(self._events)
        self._poller = threading.Thread(target=self._poll, name="grpc", daemon=True)

    def add(
        self, add_to_server: Callable[..., None], servicer: object, direct: Mapping[str, Direct | Each] | None = None
    ) -> None:
        """Serves a service. Before `start`.

        Args:
            add_to_server: The function that its generated code has for this.
            servicer: Its methods.
            direct: By the full name of a method: what gets the bytes of a request first, on the poller's thread. If it
                takes the request, it hands on a Reply that will be set later, and returns None; if not, it returns
                the message, and the method runs. What it raises becomes the status of the call. Unused where there
                are traces: these follow tasks. Or how each request of a stream is answered, instead of the method.
        """
        self._direct = direct or {}
        add_to_server(servicer, self)

    def add_registered_method_handlers(
        self, service: str, handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        """For generated code: serves the methods of a service."""
        for name, handler in handlers.items():
            full = f"{service}/{name}"
            if self._reader is not None and handler.request_deserializer is not None:
                parse = self._reader(full, handler.request_deserializer)
                handler = cast(Any, handler)._replace(request_deserializer=parse)
            kind: type[Call] = Call
            direct = self._direct.get(full)
            if isinstance(direct, Each):
                kind = EachCall
            elif handler.request_streaming or handler.response_streaming:
                kind = StreamCall
            elif self.tracing is not None:
                direct = None
            self._handlers[f"/{full}".encode()] = kind, full, handler, direct

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """For generated code, which registers the same methods by name as well."""

    def add_insecure_port(self, address: str) -> int:
        """Listens in plaintext, and returns the port; 0: it cannot."""
        return int(self._core.add_http2_port(address.encode()))

    def add_secure_port(self, address: str, credentials: grpc.ServerCredentials) -> int:
        """Listens with TLS, and returns the port; 0: it cannot."""
        return int(self._core.add_http2_port(address.encode(), credentials._credentials))  # type: ignore[attr-defined]

    async def start(self) -> None:
        """Takes calls from now on."""
        self.loop = asyncio.get_running_loop()
        self._core.start()
        self._looking.enter_context(self.arrivals.looking(self.loop))
        self._request_call()
        self._poller.start()

    def drain(self) -> None:
        """Streams whose requests are answered each by itself end after what they have read so far."""
        self.draining = True
        for stream in self.streams:
            stream.close()

    async def stop(self, grace: float) -> None:
        """Takes no more calls, and ends when those under way have; after `grace` seconds they are cancelled."""
        if self.failure is not None:
            self._looking.close()
            for task in self.running:
                task.cancel()  # nothing that they do arrives
            return
        ended = self.loop.create_future()
        self._hold()
        self._core.shutdown(self._events, lambda _: self.loop.call_soon_threadsafe(ended.set_result, None))
        try:
            await asyncio.wait_for(asyncio.shield(ended), grace)
        except TimeoutError:
            self._core.cancel_all_calls()
            await ended
        await asyncio.gather(*self.running)
        self._looking.close()
        self.stopped = True
        self._core.destroy()
        self._events.shutdown()
        await asyncio.to_thread(self._poller.join)

    def _hold(self) -> None:
        """Sends no answers until no more calls come, for it is the loop that sends them.

        Core ends with CANCELLED what comes after it was told to shut down, from callers who have not heard of it. Who
        waits for an answer sends nothing, and hears first that the server goes.
        """
        end = time.monotonic() + LONGEST_HOLD
        while (left := min(end, self._came + QUIET) - time.monotonic()) > 0:
            time.sleep(left)

    def _poll(self) -> None:
        try:
            while self._step():
                pass
        except Exception as error:
            log.critical("gRPC's core failed; the server takes no more calls and stops", exc_info=error)
            self.loop.call_soon_threadsafe(self._fail, error)

    def _step(self) -> bool:
        """Does what follows from core's next report; returns False when core has shut down.

        It lets go of the report, for one that is kept while core is polled can make it spin.
        """
        event = self._next()
        if event.completion_type == cygrpc.CompletionType.queue_shutdown:
            return False
        try:
            event.tag(event)
        except Exception as error:
            call = getattr(event.tag, "__self__", None)
            if not isinstance(call, Call):
                raise
            call.post(call.break_off, error)  # this call's; the thread serves all
        return True

    def _fail(self, error: Exception) -> None:
        self.failure = error
        if self._on_failure is not None:
            self._on_failure()

    def _next(self) -> Any:
        """Core's next report."""
        if self._worker is not None and self._worker.busy:  # what comes meanwhile is better done in one go
            event = self._events.poll(0.0)
            if event.completion_type != cygrpc.CompletionType.queue_timeout:
                return event
            self._worker.rest()
        return self._events.poll()

    def _request_call(self) -> None:
        self._core.request_call(self._events, self._events, self._accept)

    def _accept(self, event: Any) -> None:
        if not event.success:
            return  # the server is stopping
        self._request_call()
        kind, name, handler, direct = self._handlers.get(event.call_details.method, NOBODY)
        call = kind(self, event, name, handler, direct)
        self._came = call.began
        try:
            call.begin()
        except Exception as error:
            call.post(call.break_off, error)
