"""Bounds the bytes that are held for requests while they wait: for a decoder, or for a graph."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from resprobe_server.errors import QueueFull

MIB = 1 << 20


class Budget:
    """A number of bytes for all requests together. What finds nothing held is accepted whatever its size.

    May be used on any thread.

    Attributes:
        held: Bytes of what was accepted and not yet given back.
    """

    def __init__(self, limit: float = math.inf, what: str = "of requests are waiting") -> None:
        """Makes it.

        Args:
            limit: Maximum bytes.
            what: Whose bytes they are and what becomes of them, for errors.
        """
        self._limit, self._what = limit, what
        self._lock = threading.Lock()
        self.held = 0

    def take(self, size: int, retry_after: float) -> None:
        """Counts what a request holds.

        Args:
            size: In bytes.
            retry_after: Seconds until there should be room.

        Raises:
            QueueFull: There is no room; nothing was counted.
        """
        with self._lock:
            held = self.held
            if held and held + size > self._limit:
                raise QueueFull(
                    f"{held / MIB:.1f} MiB {self._what}, and {size / MIB:.1f} more would be over the limit of "
                    f"{self._limit / MIB:g}; try again later",
                    retry_after,
                )
            self.held = held + size

    def give_back(self, size: int) -> None:
        """Counts bytes no longer that were."""
        with self._lock:
            self.held -= size

    @contextmanager
    def holding(self, size: int, retry_after: float) -> Iterator[None]:
        """Counts bytes while the context is open; see `take`."""
        self.take(size, retry_after)
        try:
            yield
        finally:
            self.give_back(size)
