"""Counts what calls were answered, by method and status."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import grpc

OK = grpc.StatusCode.OK


class Calls:
    """The calls of a server. All is counted on the event loop."""

    def __init__(self, statuses: Mapping[str, Callable[[Any], grpc.StatusCode]] | None = None) -> None:
        """Starts from nothing.

        Args:
            statuses: By full name of a method whose responses are a stream: the status of a response, which may carry
                an error. Other streams count once.
        """
        self._statuses = statuses or {}
        self._counts: Counter[tuple[str, grpc.StatusCode]] = Counter()
        self._good: Counter[str] = Counter()  # apart, since looking up a pair with an enum is slow

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """Requests by full method name and name of the status.

        Each request of a stream counts; the stream itself counts where it ends with an error. Methods that nobody
        serves count as one, `unknown`.
        """
        good = {(method, OK.name): count for method, count in self._good.copy().items()}
        return good | {(method, code.name): count for (method, code), count in self._counts.copy().items()}

    def answered(self, method: str, response: object) -> None:
        """A response of a stream was sent."""
        status = self._statuses.get(method)
        if status is not None:
            self._count(method, status(response))

    def ended(self, method: str, code: grpc.StatusCode) -> None:
        """A call has ended."""
        if code is not OK or method not in self._statuses:
            self._count(method, code)

    def _count(self, method: str, code: grpc.StatusCode) -> None:
        if code is OK:
            self._good[method] += 1
        else:
            self._counts[method, code] += 1
