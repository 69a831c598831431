"""Messages between the supervisor and a worker: a JSON object a line, over a pair of sockets that only they have.

The end of the channel says that the other side has ended: so no worker outlives its supervisor.
"""

import asyncio
import json
import socket
from collections.abc import Mapping

LIMIT = 64 << 20  # bytes of a line: metrics are long
Message = Mapping[str, str | int]


class Channel:
    """One end of the channel. Lives on the event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Creates an end from its streams; `connect` makes them."""
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, end: socket.socket) -> "Channel":
        """Creates the end of the channel that a socket is."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LIMIT))

    def send(self, **message: str | int) -> None:
        """Sends a message. It is lost if the other side has ended, which `receive` reports."""
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def flush(self) -> None:
        """Waits until what was sent has left this process, or the other side has ended."""
        try:
            await self._writer.drain()
        except ConnectionError:
            return

    async def receive(self) -> Message | None:
        """Returns the next message. If None, the other side has ended."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        if not line.endswith(b"\n"):
            return None
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        """Closes this end."""
        self._writer.close()
