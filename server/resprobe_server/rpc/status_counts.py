"""Counts what calls were answered, by method and status."""

import threading
from collections import Counter

import grpc

OK = grpc.StatusCode.OK


class Calls:
    """The calls of a server. They may be counted on any thread."""

    def __init__(self) -> None:
        """Starts from nothing."""
        self._counts: Counter[tuple[str, grpc.StatusCode]] = Counter()
        self._good: Counter[str] = Counter()  # apart, since looking up a pair with an enum is slow
        self._lock = threading.Lock()

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """Requests by full method name and name of the status.

        Of a stream whose requests are answered each by itself these count; the stream itself counts where it ends with
        an error. Methods that nobody serves count as one, `unknown`.
        """
        good = {(method, OK.name): count for method, count in self._good.copy().items()}
        return good | {(method, code.name): count for (method, code), count in self._counts.copy().items()}

    def count(self, method: str, code: grpc.StatusCode) -> None:
        """A request was answered, or a call has ended, with this status."""
        with self._lock:
            if code is OK:
                self._good[method] += 1
            else:
                self._counts[method, code] += 1
