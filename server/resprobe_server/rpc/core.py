"""gRPC's core as this server uses it. The only file that touches grpc._cython.

`cygrpc` is the module on which both servers of grpcio stand. It is not public, so grpcio promises nothing about it;
tests/server/rpc/contract holds what is used here, and `make test-grpcio` runs it with the oldest and the newest version
that pyproject.toml admits. grpcio's own grpc/_server.py uses the same classes, but not in the same way: it polls for at
most a second at a time, has core look up registered methods, and never sends the buffer hint.

An operation is started with an `Event` that core hands back from `Core.poll` when the operation is done.
"""

import math
import time
from collections.abc import Sequence
from enum import Enum, auto
from threading import Lock
from typing import Any, Protocol, TypeAlias

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs leave it out

NEVER = 1e15  # seconds: core reports the largest number of its clock where there is no deadline
MORE_FOLLOWS = 1  # GRPC_WRITE_BUFFER_HINT of grpc_types.h: core may write the message together with the next
Options: TypeAlias = Sequence[tuple[str, int]]
Trailing: TypeAlias = Sequence[tuple[str, str | bytes]]


class CoreError(Exception):
    """An operation that core refused to start."""


class CallListener(Protocol):
    """Gets the events of a call, on the thread that polls."""

    def received(self, data: bytes | None, /) -> None:
        """A message was read. If None, the client sends no more, or the call was cancelled."""

    def sent(self, success: bool, /) -> None:
        """A message was handed to the connection, or (without success) the call was cancelled before."""

    def started(self) -> None:
        """The initial metadata was handed to the connection, or the call was cancelled before."""

    def closed(self, cancelled: bool, /) -> None:
        """The call has ended: with its status, or because the client or the deadline cancelled it."""

    def failed(self, error: Exception, /) -> None:
        """One of these methods raised an exception."""


class Kind(Enum):
    """What an event reports."""

    ARRIVED = auto()  # a client has opened a call
    MESSAGE = auto()  # a message was read
    STARTED = auto()  # the initial metadata was sent
    SENT = auto()  # a message was sent
    CLOSED = auto()  # the call has ended
    FINISHED = auto()  # the status was sent
    SHUTDOWN = auto()  # every call has ended, after `Core.shutdown`
    TIMEOUT = auto()  # nothing happened in time
    END = auto()  # the queue has ended, and nothing is reported any more


ARRIVED, MESSAGE, STARTED, SENT, CLOSED = Kind.ARRIVED, Kind.MESSAGE, Kind.STARTED, Kind.SENT, Kind.CLOSED


class Event:
    """A report of core: that an operation is done.

    Attributes:
        kind: What it reports.
        listener: Listener of the call that the event belongs to. If None, the event is the server's.
        call: Call that has arrived. If None, the server is shutting down.
        data: Message that was read. If None, the client sends no more, or the call was cancelled.
        success: Whether the message was sent, or the call has ended without being cancelled.
    """

    __slots__ = ("call", "data", "kind", "listener", "success")
    call: "CoreCall | None"
    data: bytes | None
    success: bool

    def __init__(self, kind: Kind, listener: CallListener | None = None) -> None:
        """Creates the event of an operation that is about to start."""
        self.kind, self.listener = kind, listener  # `Core.poll` sets what belongs to the kind

    def report(self, listener: CallListener) -> None:
        """Tells the listener of the call."""
        kind = self.kind
        if kind is MESSAGE:
            listener.received(self.data)
        elif kind is SENT:
            listener.sent(self.success)
        elif kind is CLOSED:
            listener.closed(not self.success)
        elif kind is STARTED:
            listener.started()


TIMEOUT, END, FINISHED = Event(Kind.TIMEOUT), Event(Kind.END), Event(Kind.FINISHED)


class CoreCall:
    """A call as core has it, with the operations on it. They may be started on any thread.

    Attributes:
        method: Path of the method as the client sent it, with the first slash.
        metadata: Metadata that the client sent with the call.
    """

    __slots__ = ("_call", "_core", "_details", "_started", "_watched", "metadata", "method")

    def __init__(self, core: "Core", raw: Any) -> None:
        """Copies a call from core's event, which is not kept."""
        self._core, self._call, self._details = core, raw.call, raw.call_details
        self.method: bytes = self._details.method
        self.metadata: Trailing = raw.invocation_metadata
        self._started = self._watched = False

    @property
    def deadline(self) -> float:
        """Deadline on the clock of time.time; infinite if the client set none."""
        deadline: float = self._details.deadline
        return deadline if deadline < NEVER else math.inf

    def peer(self) -> str:
        """Returns the address of the client."""
        address: bytes = self._call.peer()
        return address.decode(errors="replace")

    def close(self, listener: CallListener) -> None:
        """Asks for the end of the call to be reported."""
        self._watched = True
        self._core.begin(self._call, (cygrpc.ReceiveCloseOnServerOperation(0),), Event(CLOSED, listener))

    def receive(self, listener: CallListener) -> None:
        """Asks for the next message."""
        self._core.begin(self._call, (cygrpc.ReceiveMessageOperation(0),), Event(MESSAGE, listener))

    def start(self, listener: CallListener) -> None:
        """Sends the initial metadata alone. Core reports a cancellation that it knows of before it reports this."""
        self._started = True
        self._core.begin(self._call, (cygrpc.SendInitialMetadataOperation(None, 0),), Event(STARTED, listener))

    def send(self, listener: CallListener, data: bytes, more: bool) -> None:
        """Sends a message, the first with the initial metadata.

        Args:
            listener: Listener that is told when the message was sent; until then no other may be sent.
            data: The message.
            more: Whether another message follows at once, so that core may write both together.
        """
        if self._started:
            operations = [cygrpc.SendMessageOperation(data, MORE_FOLLOWS if more else 0)]
        else:  # the metadata would wait with it, so this message is sent without the hint
            self._started = True
            operations = [cygrpc.SendInitialMetadataOperation(None, 0), cygrpc.SendMessageOperation(data, 0)]
        self._core.answer(self._call, operations, Event(SENT, listener))

    def finish(self, code: int, details: str, trailing: Trailing, message: bytes | None) -> None:
        """Ends the call with a status, and before it with a message if there is one. All in one batch."""
        operations = [cygrpc.SendStatusFromServerOperation(trailing, code, details.encode(errors="replace"), 0)]
        if not self._started:
            self._started = True
            operations.append(cygrpc.SendInitialMetadataOperation(None, 0))
        if message is not None:
            operations.append(cygrpc.SendMessageOperation(message, 0))
        if not self._watched:
            operations.append(cygrpc.ReceiveCloseOnServerOperation(0))
        self._core.answer(self._call, operations, FINISHED)


class Core:
    """A server of gRPC's core, and the queue of its events."""

    def __init__(self, options: Options) -> None:
        """Creates a server that does not listen yet, with channel arguments of gRPC."""
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(tuple(options), False)
        self._server.register_completion_queue(self._queue)
        self._stopping = self._ended = self._holding = False
        self._held: list[tuple[Any, Sequence[Any], Event]] = []  # answers that wait for `release`
        self._lock = Lock()  # for `_held`

    def add_port(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        """Listens at an address and returns the port, or 0 if that fails. Without credentials, in plaintext."""
        if credentials is None:
            return int(self._server.add_http2_port(address.encode()))
        return int(self._server.add_http2_port(address.encode(), credentials._credentials))  # type: ignore[attr-defined]

    def start(self) -> None:
        """Accepts the first call."""
        self._server.start()
        self.accept()

    def accept(self) -> None:
        """Asks for the next call."""
        try:
            if not self._stopping:
                self._server.request_call(self._queue, self._queue, Event(ARRIVED))
        except ValueError:
            if not self._stopping:  # else the server was shut down meanwhile, on another thread
                raise

    def poll(self, timeout: float | None = None) -> Event:
        """Waits for the next event, or at most `timeout` seconds for `TIMEOUT`.

        The event must be released before the next poll: one that holds a call which has ended can make core spin.
        """
        raw = self._queue.poll(None if timeout is None else timeout and time.time() + timeout)
        event: Event | None = raw.tag
        if event is None:
            return TIMEOUT if raw.completion_type == cygrpc.CompletionType.queue_timeout else END
        kind = event.kind
        if kind is MESSAGE:
            event.data = raw.batch_operations[0].message()
        elif kind is CLOSED:
            event.success = not raw.batch_operations[0].cancelled()
        elif kind is SENT:
            event.success = raw.success
        elif kind is ARRIVED:
            event.call = CoreCall(self, raw) if raw.success else None
        return event

    def hold(self) -> None:
        """Keeps all answers back until `release`."""
        self._holding = True

    def release(self) -> None:
        """Sends the answers that were kept back, in their order."""
        with self._lock:
            for call, operations, event in self._held:
                self.begin(call, operations, event)
            self._held.clear()
            self._holding = False

    def shutdown(self) -> None:
        """Accepts no more calls and tells clients so. When all calls have ended, that is an event."""
        self._stopping = True
        self._server.shutdown(self._queue, Event(Kind.SHUTDOWN))

    def cancel_calls(self) -> None:
        """Cancels all calls, after `shutdown`."""
        self._server.cancel_all_calls()

    def end(self) -> None:
        """Ends the queue, after the event SHUTDOWN: `poll` returns `END`. No operation is started any more."""
        self._ended = True
        self._server.destroy()
        self._queue.shutdown()

    def begin(self, call: Any, operations: Sequence[Any], event: Event) -> None:
        """Starts operations of a call as one batch. For CoreCall.

        What core does not start is a failure of the call, and is raised if the call has no listener any more.
        """
        if self._ended:
            return
        error: int = call.start_server_batch(operations, event)
        if not error:
            return
        failure = CoreError(f"gRPC's core did not start {operations}: grpc_call_error {error}")
        if event.listener is None:
            raise failure
        event.listener.failed(failure)

    def answer(self, call: Any, operations: Sequence[Any], event: Event) -> None:
        """Starts operations that send something, unless they are kept back. For CoreCall."""
        if self._holding:
            with self._lock:
                if self._holding:
                    self._held.append((call, operations, event))
                    return
        self.begin(call, operations, event)
