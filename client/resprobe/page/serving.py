"""Runs the page on an address, until SIGTERM or Ctrl-C."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from resprobe._wire.address import UNIX, host_of, is_loopback, parse
from resprobe.errors import Error, InvalidRequest

CONNECTIONS = 64  # at a time; more are answered with 503
DRAIN = 3  # seconds for requests under way when the page ends


def listen(address: str, allow_remote: bool) -> socket.socket:
    """Opens the socket that the page listens on.

    Args:
        address: HOST:PORT; port 0 is any free one.
        allow_remote: Whether other machines may reach it.

    Raises:
        InvalidRequest: It is not such an address, or other machines could reach it and may not.
        Error: It cannot be used.
    """
    parse(address, listening=True)
    if address.startswith((*UNIX, "dns:", "ipv4:", "ipv6:")) or "," in address:
        raise InvalidRequest(f"--listen {address}: expected HOST:PORT, for example 127.0.0.1:8080")
    if not allow_remote and not is_loopback(address):
        raise InvalidRequest(
            f"--listen {address} can be reached from other machines, which would ask with this page's token and "
            "rights: expected 127.0.0.1:PORT, or --allow-remote"
        )
    host, port = host_of(address), int(address.rpartition(":")[2])
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(where[:2], family=family)
    except socket.gaierror as error:
        raise Error(f"--listen {address}: {host} has no address: {error.strerror}") from error
    except OSError as error:  # whose own text repeats the address
        why = os.strerror(error.errno) if error.errno else str(error)
        raise Error(f"--listen {address} cannot be used: {why}; choose another port") from error


def url(listening: socket.socket) -> str:
    """Returns the URL at which this machine's browsers find the page."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def run(app: ASGIApp, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serves the page until SIGTERM. Raises KeyboardInterrupt after Ctrl-C, when the page has ended.

    Args:
        app: ASGI application.
        listening: Socket that it listens on.
        started: Called when the page can be opened.
    """
    server = _Server(app, started)
    asyncio.run(server.serve(sockets=[listening]))
    if server.interrupted:
        raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are handled on the event loop."""

    def __init__(self, app: ASGIApp, started: Callable[[], None]) -> None:
        options = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="on",
            ws="none",
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=DRAIN,
        )
        super().__init__(options)
        self._started, self.interrupted = started, False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            loop.remove_signal_handler(signal.SIGINT)

    def _end(self) -> None:
        self.force_exit, self.should_exit = self.should_exit, True  # the second signal does not wait

    def _interrupt(self) -> None:
        self.interrupted = True
        self._end()
