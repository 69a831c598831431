"""Counts what calls were answered, by method and status."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import grpc

OK = grpc.StatusCode.OK


class Calls:
    """The calls of a server. All is counted on the event loop.

    Attributes:
        counts: Requests by full method name and name of the status. Each request of a stream counts; the stream itself
            counts where it ends with an error. Methods that nobody serves count as one, `unknown`.
    """

    def __init__(self, statuses: Mapping[str, Callable[[Any], grpc.StatusCode]] | None = None) -> None:
        """Starts from nothing.

        Args:
            statuses: By full name of a method whose responses are a stream: the status of a response, which may carry
                an error. Other streams count once.
        """
        self._statuses = statuses or {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def answered(self, method: str, response: object) -> None:
        """A response of a stream was sent."""
        status = self._statuses.get(method)
        if status is not None:
            self.counts[method, status(response).name] += 1

    def ended(self, method: str, code: grpc.StatusCode) -> None:
        """A call has ended."""
        if code is not OK or method not in self._statuses:
            self.counts[method, code.name] += 1
