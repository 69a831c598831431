"""Bounds the bytes that requests hold while they wait for a decoder or for a graph."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from resprobe_server.errors import QueueFull

MIB = 1 << 20


class Budget:
    """Number of bytes that all requests together may hold. A request that finds nothing held is always accepted.

    Its methods may be called on any thread.

    Attributes:
        held: Bytes that are held now.
    """

    def __init__(self, limit: float = math.inf, what: str = "of requests are waiting") -> None:
        """Creates a budget.

        Args:
            limit: Maximum bytes.
            what: End of the sentence "3 MiB …" in errors: what the bytes are and what they wait for.
        """
        self._limit, self._what = limit, what
        self._lock = threading.Lock()
        self.held = 0

    def take(self, size: int, retry_after: float) -> None:
        """Counts the bytes of a request as held.

        Args:
            size: Bytes of the request.
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
        """Counts bytes as no longer held."""
        with self._lock:
            self.held -= size

    @contextmanager
    def holding(self, size: int, retry_after: float) -> Iterator[None]:
        """Holds bytes while the context is open. Arguments and errors are those of `take`."""
        self.take(size, retry_after)
        try:
            yield
        finally:
            self.give_back(size)
