"""What one graph has done so far, as plain numbers: the Prometheus metrics and ModelStatistics are made from them.

Each number has one writer, so none needs a lock: the device's thread, once for each batch; `refused` is counted under
the lock of its batcher. A reader on another thread may see a batch half counted; the next look sees it whole.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

# Upper bounds of the buckets of a time, in seconds: three a decade.
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """How many values fell into each bucket, and their sum.

    Attributes:
        bounds: Upper bounds of the buckets, inclusive and ascending.
        counts: Values in each bucket; the last is of those over all bounds.
        sum: Of the values.
    """

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """How many values were added."""
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
    """Since the graph was loaded. Durations are in seconds.

    Attributes:
        sizes: Batches that ran, by their number of images.
        size_seconds: What these batches took, in total, by their number of images: to gather their rows, to run, and to
            hand their rows back.
        inference: What each batch took.
        queue: What each request waited before its first batch started.
        served: Requests that were answered.
        served_seconds: From their arrival to the end of their last batch, in total.
        stages: What gathering, running and handing back took the last batch of each of them, in total.
        failed: Requests whose batch failed.
        failed_seconds: From their arrival to the failure, in total.
        refused: Requests that found the queue full.
        cancelled: Requests that were dropped because their caller had gone; what was left of them was not run.
        expired: Requests that were dropped because their deadline had passed; what was left of them was not run.
        last: When the last batch ended, on the clock of time.time; 0: none has.
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
        """Zeros, for batches of up to so many images."""
        zeros = [0.0] * (max_batch + 1)
        return cls([0] * (max_batch + 1), (zeros, zeros.copy(), zeros.copy()))

    @property
    def batches(self) -> int:
        """How many batches ran."""
        return sum(self.sizes)

    @property
    def images(self) -> int:
        """In the batches that ran."""
        return sum(size * count for size, count in enumerate(self.sizes))

    def ran(
        self, images: int, stages: tuple[float, float, float], waits: Sequence[float], times: Sequence[float]
    ) -> None:
        """Counts a batch.

        Args:
            images: In it.
            stages: Seconds that gathering, running and handing back took.
            waits: Of the requests whose first batch it is, in the order of their arrival.
            times: From arrival to answer, of the requests whose last batch it is.
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
        """Counts a batch that failed: from arrival to failure, of its requests."""
        self.failed += len(times)
        self.failed_seconds += sum(times)
