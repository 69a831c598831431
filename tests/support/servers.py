"""Servers that really listen, on an event loop of their own."""

import resprobe_server  # isort: skip  # noqa: F401  # first: it says how gRPC reads from connections
import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

import grpc
from resprobe_server.rpc.server import Server

SECONDS = 60  # maximum for all that a test asks of a server: far more than any takes
Serve = Callable[..., AbstractContextManager[str]]


class Loop:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def free_address() -> str:
    """An address that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def run_server(
    add: Callable[[Server], None], ask: Callable[[Any, Server], Awaitable[None]], stops: bool = True, gates: Any = ()
) -> Server:
    """Serves what `add` adds to what `ask` does with a channel, for a minute at most; returns the server."""

    async def main() -> Server:
        server = Server(gates=gates)
        add(server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                async with asyncio.timeout(SECONDS):
                    await ask(channel, server)
            finally:
                if stops:
                    await server.stop(10)
        assert not server.state.running
        return server

    return asyncio.run(main())
