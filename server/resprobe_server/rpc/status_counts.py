"""Counts the statuses that calls ended with, and how long answered requests took, by method."""

import threading
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import grpc

OK = grpc.StatusCode.OK
# Upper bounds of the buckets of a latency, in seconds: three a decade.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Example(NamedTuple):
    """Request that was traced: an example of those in its bucket.

    Attributes:
        trace: Id of its trace, in hexadecimal.
        seconds: How long it took.
        ended: Time of its response, on the clock of time.time.
    """

    trace: str
    seconds: float
    ended: float


@dataclass(eq=False, slots=True)
class Latency:
    """Histogram of the seconds that answered requests took.

    Attributes:
        counts: Number of requests in each bucket of BOUNDS; the last one counts those over all bounds.
        sum: Sum of the seconds.
        examples: Latest request with a trace in each bucket, by the place of the bucket.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    sum: float = 0.0
    examples: dict[int, Example] = field(default_factory=dict)


class Calls:
    """Counts the calls of a server, on any thread.

    Attributes:
        latencies: Histograms by full method name and name of the model; the latter is empty where a method has none.
    """

    def __init__(self) -> None:
        """Starts with no calls."""
        self.latencies: dict[tuple[str, str], Latency] = {}
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

    def answered(self, method: str, model: str, began: float, trace: str) -> None:
        """Counts a request that was answered with OK, and how long it took: half a microsecond for each.

        Args:
            method: Full name of the method.
            model: Name of the model that answered; empty if none did.
            began: Arrival of the request, on the clock of time.monotonic.
            trace: Id of its trace; empty if it was not traced.
        """
        seconds = time.monotonic() - began
        place = bisect_left(BOUNDS, seconds)
        with self._lock:
            self._good[method] += 1
            latency = self.latencies.get((method, model))
            if latency is None:
                latency = self.latencies[method, model] = Latency()
            latency.counts[place] += 1
            latency.sum += seconds
            if trace:
                latency.examples[place] = Example(trace, seconds, time.time())
