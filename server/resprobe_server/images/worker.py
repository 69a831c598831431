"""Processes that decode large pictures: they share no lock with the server, and end when a picture takes too long.

A process runs `python -m resprobe_server.images.worker FD SECONDS` and receives one picture at a time over a socket. An
alarm ends it if a picture takes longer; the next picture starts another process.
"""

import queue
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np
from resprobe._pictures.images import Encoded, Fitted, Pixels

from resprobe_server.errors import InvalidRequest, NotReady
from resprobe_server.images.decode import decode
from resprobe_server.images.format import Format


class Worker:
    """One process that decodes."""

    def __init__(self, seconds: float) -> None:
        """Starts the process; a picture that takes longer than `seconds` ends it."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "resprobe_server.images.worker", str(theirs.fileno()), str(seconds)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        self._connection = Connection(ours.detach())

    def decode(self, image: Encoded | Pixels, wanted: Format, max_pixels: int) -> Fitted:
        """Decodes a picture, as decode.decode does. Raises EOFError or OSError if the process has ended meanwhile."""
        self._connection.send((image, wanted, max_pixels))
        reply = self._connection.recv()
        if isinstance(reply, InvalidRequest):
            raise reply
        data, resized_from = reply
        return Fitted(np.frombuffer(data, np.uint8).reshape(wanted.shape), resized_from)

    def kill(self) -> None:
        """Ends the process at once and waits for its end; `decode` then raises. May be called on any thread."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends the process and closes its socket. Called on the thread that uses it."""
        self.kill()
        self._connection.close()


class Workers:
    """Pool of processes, each started when it is first needed. Each thread that decodes uses one at a time."""

    def __init__(self, seconds: float) -> None:
        """Creates an empty pool; `seconds` is the maximum time for one picture."""
        self._seconds = seconds
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._all: set[Worker] = set()
        self._closed = False

    def decode(self, image: Encoded | Pixels, wanted: Format, max_pixels: int) -> Fitted:
        """Decodes a picture in a process.

        Raises:
            InvalidRequest: For the reasons of decode.decode, or because the picture takes too long.
            NotReady: The server is shutting down.
        """
        worker = self._take()
        try:
            found = worker.decode(image, wanted, max_pixels)
        except (EOFError, OSError) as error:
            self._all.discard(worker)
            worker.close()
            if self._closed:
                raise NotReady("the server is shutting down") from error
            text = f"{image.source} takes longer than {self._seconds:g} s to decode: send it smaller"
            raise InvalidRequest(text, image.source) from error
        except InvalidRequest:
            self._idle.put(worker)
            raise
        self._idle.put(worker)
        return found

    def close(self) -> None:
        """Ends all processes. The threads that use one close its socket."""
        self._closed = True
        for worker in list(self._all):
            worker.kill()
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _take(self) -> Worker:
        if self._closed:
            raise NotReady("the server is shutting down")
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            worker = Worker(self._seconds)
            self._all.add(worker)
            if self._closed:  # meanwhile
                worker.close()
                raise NotReady("the server is shutting down") from None
            return worker


def serve(connection: Connection, seconds: float) -> None:
    """Decodes the pictures that arrive, until the server closes the connection or a picture takes too long."""
    while True:
        try:
            job: tuple[Encoded | Pixels, Format, int] = connection.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            found = decode(*job)
            reply: object = (found.pixels.tobytes(), found.resized_from)
        except InvalidRequest as error:
            reply = error
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(reply)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's
    serve(Connection(int(sys.argv[1])), float(sys.argv[2]))
