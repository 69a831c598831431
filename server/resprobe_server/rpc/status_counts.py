"""Counts the statuses that calls ended with, by method."""

import threading
from collections import Counter

import grpc

OK = grpc.StatusCode.OK


class Calls:
    """Counts the calls of a server, on any thread."""

    def __init__(self) -> None:
        """Starts with no calls."""
        self._counts: Counter[tuple[str, grpc.StatusCode]] = Counter()
        self._good: Counter[str] = Counter()  # apart, since hashing a pair with an enum is slow
        self._lock = threading.Lock()

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """Number of requests by full method name and name of the status.

        Requests of a stream that are answered one by one are counted one by one, and the stream itself if it ends with
        an error. Methods that the server does not have are counted together, as `unknown`.
        """
        good = {(method, OK.name): count for method, count in self._good.copy().items()}
        return good | {(method, code.name): count for (method, code), count in self._counts.copy().items()}

    def count(self, method: str, code: grpc.StatusCode) -> None:
        """Counts a request that was answered, or a call that has ended, with this status."""
        with self._lock:
            if code is OK:
                self._good[method] += 1
            else:
                self._counts[method, code] += 1
