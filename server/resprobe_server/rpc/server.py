"""A gRPC server on the event loop, straight on gRPC's core.

grpc.aio takes a call through the loop at each of its steps: there it is accepted, there its request is read, there its
end is watched for. Here a thread polls core, reads and parses, and the loop is woken once for a call, with the request;
benchmarks/README.md has what that saves. The names are those of grpc.aio.Server, as far as generated code, health
checks, reflection and this project use them.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Protocol

import grpc
import structlog

from resprobe_server.rpc.arrivals import Arrivals
from resprobe_server.rpc.call import UNKNOWN, Call, Deserializer, Method
from resprobe_server.rpc.context import Gate
from resprobe_server.rpc.core import Core, CoreCall, Event, Kind, Options
from resprobe_server.rpc.message_stream import StreamCall
from resprobe_server.rpc.request_stream import Each, EachCall
from resprobe_server.rpc.state import ServerState
from resprobe_server.rpc.status_counts import Calls
from resprobe_server.tracer import NullTracer, Tracer

QUIET, LONGEST_HOLD = 0.05, 0.5  # seconds: more than from a response to the client's next call, and the maximum
LONGEST_CLEANUP = 2.0  # seconds that a core that has failed may take to shut down
log = structlog.get_logger()
Run = Callable[[Any, Any], Any]


class Worker(Protocol):
    """Runs the graphs, and can say when it is of no use to hurry with the next request."""

    @property
    def busy(self) -> bool:
        """Whether it has something to do for a while."""

    def rest(self) -> None:
        """Waits for a moment, but not when there is nothing left to do."""


class Server:
    """A server; see the top of the module.

    Attributes:
        state: What gates, calls and streams share.
        failure: Reason why core serves no more calls. If None, it does.
    """

    def __init__(
        self,
        options: Options = (),
        gates: Sequence[Gate] = (),
        calls: Calls | None = None,
        tracing: Tracer | None = None,
        worker: Worker | None = None,
        arrivals: Arrivals | None = None,
        on_failure: Callable[[], None] | None = None,
        reader: Callable[[str, Deserializer], Deserializer] | None = None,
        around: Callable[[str, Run], Run] | None = None,
    ) -> None:
        """Creates a server that does not listen yet.

        Args:
            options: Channel arguments of gRPC.
            gates: Gates that each call passes, in this order.
            calls: Counts the statuses of calls. If None, the server counts them by itself.
            tracing: Traces calls. If None, nothing is traced.
            worker: Worker that runs the graphs, whose pace the polling keeps. If None, every event is handled at once.
            arrivals: Waits for requests. If None, a request may arrive at any time.
            on_failure: Called on the event loop when core fails and no more calls can be served. If None, nothing is.
            reader: Makes the deserializer of a method from its full name and the deserializer of its generated code. If
                None, the generated ones are used.
            around: Returns what runs a method with one request and one response, from its full name and what would run
                it. If None, methods run as they are.
        """
        self.state = ServerState(gates, calls or Calls(), arrivals or Arrivals(), tracing or NullTracer())
        self.failure: Exception | None = None
        self._worker, self._on_failure, self._reader, self._around = worker, on_failure, reader, around
        self._checking = ExitStack()
        self._methods: dict[bytes, Callable[[CoreCall], Call]] = {}
        self._unknown: Callable[[CoreCall], Call] = partial(Call, self.state, UNKNOWN)
        self._last_arrival = 0.0  # on the clock of time.monotonic
        self._core = Core(options)
        self._ended = asyncio.Event()  # every call has ended after the shutdown
        self._poller = threading.Thread(target=self._poll, name="grpc", daemon=True)

    def add(self, add_to_server: Callable[..., None], servicer: object) -> None:
        """Adds a service, before `start`.

        Args:
            add_to_server: The function of generated code that registers the service.
            servicer: Its methods. An attribute that is an Each stands for a method whose requests are answered so, be
                they a stream or one; its responses are bytes.
        """
        add_to_server(servicer, _Registrar(self._register))

    def _register(self, name: str, handler: "grpc.RpcMethodHandler[Any, Any]") -> None:
        parse, serialize = handler.request_deserializer, handler.response_serializer or bytes
        if parse is not None and self._reader is not None:
            parse = self._reader(name, parse)
        unary = handler.unary_unary
        if unary is not None and self._around is not None:
            unary = self._around(name, unary)
        run = unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        reads_stream = bool(handler.request_streaming)
        make: Callable[[CoreCall], Call]
        if isinstance(run, Each):
            method = Method(name, run.answer, parse or bytes, bytes, reads_stream, run.direct)
            make = partial(EachCall, self.state, method, run) if reads_stream else partial(Call, self.state, method)
        else:
            method = Method(name, run or UNKNOWN.run, parse or bytes, serialize, reads_stream)
            kind = StreamCall if reads_stream or handler.response_streaming else Call
            make = partial(kind, self.state, method)
        self._methods[f"/{name}".encode()] = make

    def add_insecure_port(self, address: str) -> int:
        """Listens in plaintext and returns the port, or 0 if that fails."""
        return self._core.add_port(address, None)

    def add_secure_port(self, address: str, credentials: grpc.ServerCredentials) -> int:
        """Listens with TLS and returns the port, or 0 if that fails."""
        return self._core.add_port(address, credentials)

    async def start(self) -> None:
        """Accepts calls from now on."""
        self.state.loop = asyncio.get_running_loop()
        self._checking.enter_context(self.state.arrivals.checking(self.state.loop))
        self._core.start()
        self._poller.start()

    def drain(self) -> None:
        """Ends streams whose requests are answered one by one, after what they have read so far."""
        self.state.draining = True
        for stream in self.state.streams:
            stream.close()

    async def stop(self, grace: float) -> None:
        """Accepts no more calls, and returns when those under way have ended; after `grace` seconds, cancels them."""
        if self._poller.ident is None:
            return  # it was never started
        if self.failure is not None:
            await self._stop_failed()
            return
        self._core.hold()
        await self._quiet()
        self._core.shutdown()
        self._core.release()
        try:
            await asyncio.wait_for(self._ended.wait(), grace)
        except TimeoutError:
            self._core.cancel_calls()
            await self._ended.wait()
        await asyncio.gather(*self.state.running)
        self._checking.close()
        self._core.end()
        await asyncio.to_thread(self._poller.join)

    async def _stop_failed(self) -> None:
        """Ends what is left after a failure of core, which drops its events: nothing that calls do arrives."""
        self._checking.close()
        for task in self.state.running:
            task.cancel()
        self._core.shutdown()
        self._core.cancel_calls()
        try:
            await asyncio.wait_for(self._ended.wait(), LONGEST_CLEANUP)
        except TimeoutError:
            log.critical("gRPC's core failed in a way that does not let it shut down")  # its thread is a daemon
            return
        self._core.end()
        await asyncio.to_thread(self._poller.join)

    async def _quiet(self) -> None:
        """Waits until no more calls arrive, while core keeps back all answers.

        Core ends with CANCELLED what arrives after its shutdown, from clients that have not heard of it. A client that
        waits for a response sends nothing, and with the response it hears that the server is shutting down.
        """
        end = time.monotonic() + LONGEST_HOLD
        while (left := min(end, self._last_arrival + QUIET) - time.monotonic()) > 0:  # noqa: ASYNC110  # an event would wake the loop for each call
            await asyncio.sleep(left)

    # On gRPC's thread.

    def _poll(self) -> None:
        try:
            while self._step():
                pass
        except Exception as error:
            log.critical("gRPC's core failed; the server takes no more calls and stops", exc_info=error)
            self.state.loop.call_soon_threadsafe(self._fail, error)
            self._discard()

    def _discard(self) -> None:
        """Drops all events, after a failure, so that core can be shut down: a server freed before that aborts."""
        try:
            while (kind := self._core.poll().kind) is not Kind.END:
                if kind is Kind.SHUTDOWN:
                    self.state.loop.call_soon_threadsafe(self._ended.set)
        except Exception as error:
            log.critical("gRPC's core reports no more events", exc_info=error)

    def _step(self) -> bool:
        """Handles core's next event and releases it, as the next poll requires; returns False at the end."""
        event = self._next()
        listener = event.listener
        if listener is not None:
            try:
                event.report(listener)
            except Exception as error:
                listener.failed(error)  # that call's; the thread serves all
        elif event.kind is Kind.ARRIVED:
            if event.call is not None:
                self._arrived(event.call)
        elif event.kind is Kind.SHUTDOWN:
            self.state.loop.call_soon_threadsafe(self._ended.set)
        return event.kind is not Kind.END

    def _next(self) -> Event:
        if self._worker is not None and self._worker.busy:  # what arrives meanwhile is better handled in one go
            event = self._core.poll(0)
            if event.kind is not Kind.TIMEOUT:
                return event
            self._worker.rest()
        return self._core.poll()

    def _arrived(self, core: CoreCall) -> None:
        self._core.accept()
        call = self._methods.get(core.method, self._unknown)(core)
        self._last_arrival = call.began
        try:
            call.begin()
        except Exception as error:
            call.failed(error)

    def _fail(self, error: Exception) -> None:
        self.failure = error
        if self._on_failure is not None:
            self._on_failure()


class _Registrar:
    """Gets the methods of a service from generated code, in place of a server."""

    def __init__(self, register: "Callable[[str, grpc.RpcMethodHandler[Any, Any]], None]") -> None:
        self._register = register

    def add_registered_method_handlers(
        self, service: str, handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        for name, handler in handlers.items():
            self._register(f"{service}/{name}", handler)

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Does nothing: generated code registers the same methods by name as well."""
