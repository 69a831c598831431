"""A driver of gRPC's core: a thread that polls it as the server does, and listeners that record what they hear."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue

import grpc
from resprobe_server.rpc.core import Core, CoreCall, Kind

SECONDS = 30  # maximum for anything that is waited for
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


class Recorder:
    """A listener that puts what it hears into a queue, as (event, value); a method is replaced to do something."""

    def __init__(self, call: CoreCall) -> None:
        self.call = call
        self.heard: Queue[tuple[str, object]] = Queue()

    def received(self, data: bytes | None) -> None:
        self.heard.put(("received", data))

    def sent(self, success: bool) -> None:
        self.heard.put(("sent", success))

    def started(self) -> None:
        self.heard.put(("started", None))

    def closed(self, cancelled: bool) -> None:
        self.heard.put(("closed", cancelled))

    def failed(self, error: Exception) -> None:
        self.heard.put(("failed", error))

    def next(self) -> tuple[str, object]:
        """Returns what it hears next; fails if that takes too long."""
        return self.heard.get(timeout=SECONDS)


class Driver:
    """A server on core: each call gets a listener from `answer`.

    Attributes:
        core: The core.
        calls: Listeners of the calls that have arrived.
        port: Port that it listens on.
    """

    def __init__(
        self, answer: Callable[[CoreCall], Recorder], credentials: grpc.ServerCredentials | None = None
    ) -> None:
        self.core = Core((("grpc.so_reuseport", 0),))
        self.calls: Queue[Recorder] = Queue()
        self._answer, self._ended = answer, threading.Event()
        self.port = self.core.add_port("localhost:0", credentials)
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def start(self) -> None:
        """Accepts calls."""
        self.core.start()
        self._thread.start()

    def call(self) -> Recorder:
        """Returns the listener of the next call that has arrived."""
        return self.calls.get(timeout=SECONDS)

    def until_shut_down(self) -> None:
        """Waits until every call has ended after Core.shutdown."""
        assert self._ended.wait(SECONDS)

    def stop(self) -> None:
        """Shuts core down at once."""
        self.core.shutdown()
        self.core.cancel_calls()
        self.finish()

    def finish(self) -> None:
        """Ends the queue and the thread, after Core.shutdown."""
        self.until_shut_down()
        self.core.end()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def _poll(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        event = self.core.poll()
        if event.listener is not None:
            event.report(event.listener)
        elif event.kind is Kind.ARRIVED:
            if event.call is not None:
                self.core.accept()
                self.calls.put(self._answer(event.call))
        elif event.kind is Kind.SHUTDOWN:
            self._ended.set()
        return event.kind is not Kind.END


@contextmanager
def driven(answer: Callable[[CoreCall], Recorder]) -> Iterator[tuple[Driver, grpc.Channel]]:
    """Runs a driver while the context is open, and gives it with a channel to it."""
    driver = Driver(answer)
    driver.start()
    try:
        with grpc.insecure_channel(f"localhost:{driver.port}", OWN_CONNECTION) as channel:
            yield driver, channel
    finally:
        driver.stop()


def record(call: CoreCall) -> Recorder:
    """Asks for the end of a call, and leaves the rest to the test."""
    recorder = Recorder(call)
    call.close(recorder)
    return recorder


class Echo(Recorder):
    """Answers a unary call with its request."""

    def received(self, data: bytes | None) -> None:
        self.call.finish(0, "", (), data)


def echo(call: CoreCall) -> Recorder:
    """Answers a unary call with its request."""
    listener = Echo(call)
    call.close(listener)
    call.receive(listener)
    return listener


class EchoStream(Recorder):
    """Answers each message of a stream with the same message, one after the other."""

    def received(self, data: bytes | None) -> None:
        if data is None:
            self.call.finish(0, "", (), None)
        else:
            self.call.send(self, data, False)

    def sent(self, success: bool) -> None:
        self.call.receive(self)


def echo_stream(call: CoreCall) -> Recorder:
    """Answers each message of a stream with the same message."""
    listener = EchoStream(call)
    call.close(listener)
    call.receive(listener)
    return listener


def wait_for(done: threading.Event, *first: bytes) -> Iterator[bytes]:
    """Gives the requests of a stream, and ends them when `done` is set."""
    yield from first
    done.wait(SECONDS)
