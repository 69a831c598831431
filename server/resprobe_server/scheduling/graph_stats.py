"""Counters of one graph: the Prometheus metrics and ModelStatistics are made from them.

Each number has one writer, so none needs a lock: the device's thread, once for each batch; `refused` is counted under
the lock of the graph's admission. A reader on another thread may see a batch half counted, and later sees it whole.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

# Upper bounds of the buckets of a time, in seconds: three a decade.
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Histogram of values.

    Attributes:
        bounds: Upper bounds of the buckets, inclusive and ascending.
        counts: Number of values in each bucket; the last one counts those over all bounds.
        sum: Sum of the values.
    """

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """Number of values that were added."""
        return sum(self.counts)

    def add(self, values: Sequence[float]) -> None:
        """Adds values in ascending or descending order: those of a batch mostly share a bucket, and cost one step."""
        if not values:
            return
        first, last = bisect_left(self.bounds, values[0]), bisect_left(self.bounds, values[-1])
        if first == last:
            self.counts[first] += len(values)
        else:
            for value in values:
                self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += sum(values)


@dataclass(eq=False, slots=True)
class Counters:
    """Counters of a graph since it was loaded. Durations are in seconds.

    Attributes:
        sizes: Number of batches that ran, by their number of images.
        size_seconds: Total time of the batches by their number of images, in three stages: gathering their rows,
            running, and handing their rows back.
        inference: Histogram of the time that each batch ran.
        queue: Histogram of the time that each request waited before its first batch started.
        served: Number of requests that were answered.
        served_seconds: Total time from the arrival of requests that were answered to the end of their last batch.
        stages: Total time of the three stages, counted once for each request that its last batch answered.
        failed: Number of requests whose batch failed.
        failed_seconds: Total time from the arrival of requests to the failure of their batch.
        refused: Number of requests that found the queue full.
        cancelled: Number of requests that were dropped because their client had cancelled them.
        expired: Number of requests that were dropped because their deadline had passed.
        last: End of the last batch, on the clock of time.time; 0 if none has ended.
    """

    sizes: list[int]
    size_seconds: tuple[list[float], list[float], list[float]]
    inference: Histogram = field(default_factory=Histogram)
    queue: Histogram = field(default_factory=Histogram)
    served: int = 0
    served_seconds: float = 0.0
    stages: tuple[float, float, float] = (0.0, 0.0, 0.0)
    failed: int = 0
    failed_seconds: float = 0.0
    refused: int = 0
    cancelled: int = 0
    expired: int = 0
    last: float = 0.0

    @classmethod
    def up_to(cls, max_batch: int) -> "Counters":
        """Creates counters of zero, for batches of up to `max_batch` images."""
        zeros = [0.0] * (max_batch + 1)
        return cls([0] * (max_batch + 1), (zeros, zeros.copy(), zeros.copy()))

    @property
    def batches(self) -> int:
        """Number of batches that ran."""
        return sum(self.sizes)

    @property
    def images(self) -> int:
        """Number of images in the batches that ran."""
        return sum(size * count for size, count in enumerate(self.sizes))

    def ran(
        self, images: int, stages: tuple[float, float, float], waits: Sequence[float], times: Sequence[float]
    ) -> None:
        """Counts a batch.

        Args:
            images: Images in the batch.
            stages: Seconds that gathering, running and handing back took.
            waits: Seconds that the requests waited whose first batch it is, in the order of their arrival.
            times: Seconds from arrival to answer of the requests whose last batch it is.
        """
        self.sizes[images] += 1
        into, run, back = stages
        for seconds, one in zip(self.size_seconds, stages, strict=True):
            seconds[images] += one
        self.inference.add((run,))
        self.queue.add(waits)
        self.served += len(times)
        self.served_seconds += sum(times)
        count, (a, b, c) = len(times), self.stages
        self.stages = a + into * count, b + run * count, c + back * count
        self.last = time.time()

    def broke(self, times: Sequence[float]) -> None:
        """Counts a batch that failed, given the seconds from arrival to failure of each of its requests."""
        self.failed += len(times)
        self.failed_seconds += sum(times)
