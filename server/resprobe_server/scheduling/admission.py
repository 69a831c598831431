"""Bounds what waits for one graph: its images, and together with all other graphs its bytes."""

import threading

from resprobe_server.errors import QueueFull
from resprobe_server.scheduling.budget import Budget
from resprobe_server.scheduling.graph_stats import Counters

FIRST_GUESS = 100.0  # images/s, before anything was measured
SMOOTHING = 0.9  # weight of earlier batches in the rate
SOON = 0.1  # seconds until a retry where only other graphs' requests wait


class Rate:
    """Images per second that a graph runs, smoothed. Has one writer, the device's thread.

    Attributes:
        value: Images per second.
    """

    def __init__(self) -> None:
        """Begins with a guess."""
        self.value = FIRST_GUESS

    def observe(self, images: int, seconds: float) -> None:
        """Adds a batch that has run."""
        self.value = SMOOTHING * self.value + (1 - SMOOTHING) * images / seconds


class Admission:
    """Admits requests while there is room, on any thread.

    Attributes:
        max_queue: Maximum images that may wait.
        pending: Images that were admitted and not yet answered.
    """

    def __init__(self, max_queue: int, budget: Budget, rate: Rate, counters: Counters) -> None:
        """Creates the admission of one graph.

        Args:
            max_queue: Maximum images that may wait.
            budget: Bytes that may wait for all graphs together.
            rate: Speed of the graph, from which the seconds until a retry follow.
            counters: Counters of the graph; refused requests are counted there.
        """
        self.max_queue = max_queue
        self.pending = 0
        self._budget, self._rate, self._counters = budget, rate, counters
        self._lock = threading.Lock()  # guards `pending`, the budget's use of it, and the count of refused requests

    def enter(self, images: int, size: int) -> None:
        """Admits a request. A request that finds nothing waiting is admitted whatever its size.

        Args:
            images: Images in the request.
            size: Bytes that the request holds.

        Raises:
            QueueFull: There is no room for so many images or bytes.
        """
        with self._lock:
            waiting = self.pending
            if waiting and waiting + images > self.max_queue:
                self._counters.refused += 1
                raise QueueFull(
                    f"{waiting} images are waiting, and {images} more would be over the limit of {self.max_queue}; "
                    "try again later",
                    retry_after=waiting / self._rate.value,
                )
            try:
                self._budget.take(size, waiting / self._rate.value or SOON)
            except QueueFull:
                self._counters.refused += 1
                raise
            self.pending = waiting + images

    def leave(self, images: int, size: int) -> None:
        """Makes room for others: so many images were answered or dropped, which held `size` bytes."""
        with self._lock:
            self.pending -= images
        self._budget.give_back(size)
