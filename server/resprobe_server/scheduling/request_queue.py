"""Requests that wait for one graph: which rows form the next batch, and when it is this graph's turn."""

from collections import deque

from resprobe_server.errors import Expired
from resprobe_server.scheduling.graph_stats import Counters
from resprobe_server.scheduling.request import Answer, Slice, Work

PATIENCE = 0.1  # seconds that an analysis waits for classifications; then it has its turn, which is one batch


class RequestQueue:
    """Queue of one graph, used on the device's thread alone.

    Attributes:
        max_batch: Maximum images in a batch.
        max_wait: Maximum seconds that a batch that is not full waits for more requests.
        last_ended: Time at which the graph's last batch ended, on the clock of time.monotonic.
    """

    def __init__(self, max_batch: int, max_wait: float, urgent: bool, counters: Counters) -> None:
        """Creates an empty queue.

        Args:
            max_batch: Maximum images in a batch.
            max_wait: Maximum seconds that a batch that is not full waits for more requests.
            urgent: Whether its requests run before those that are not urgent: classification before analysis.
            counters: Counters of the graph; dropped requests are counted there.
        """
        self.max_batch, self.max_wait = max_batch, max_wait
        self.last_ended = 0.0
        self._patience = 0.0 if urgent else PATIENCE
        self._counters = counters
        self._works: deque[Work] = deque()

    def __len__(self) -> int:
        """Returns the number of requests that wait, those among them of which a part has run."""
        return len(self._works)

    def append(self, work: Work) -> None:
        """Adds a request."""
        self._works.append(work)

    def remove(self, work: Work) -> None:
        """Removes what is left of a request that was split."""
        self._works.remove(work)

    def due(self) -> float:
        """Returns the time by which queues are ordered: the lowest runs next. The queue must not be empty.

        The oldest request decides, but never a time before the graph's last batch: so a long queue does not starve
        the other graphs.
        """
        return max(self._works[0].arrived, self.last_ended) + self._patience

    def ready_at(self) -> float:
        """Returns the time at which a batch may run: 0 if it is full, else when the oldest request has waited enough.

        The queue must not be empty.
        """
        if not self.max_wait or sum(work.rows - work.batched for work in self._works) >= self.max_batch:
            return 0.0
        return self._works[0].arrived + self.max_wait

    def take(self, now: float) -> tuple[list[Slice], list[tuple[Work, Answer]]]:
        """Removes the rows of the next batch from the queue.

        The oldest request is always in the batch, so that no request waits for ever for others of its shape. Requests
        whose deadline has passed or whose client has cancelled are dropped.

        Args:
            now: Current time, on the clock of time.monotonic.

        Returns:
            Rows of the batch, oldest first, and the dropped requests, each with the reason.
        """
        batch: list[Slice] = []
        unlike: list[Work] = []  # older than the rest, but of another shape than the first of the batch
        dropped: list[tuple[Work, Answer]] = []
        works, room = self._works, self.max_batch
        while works and room:
            work = works[0]
            if work.deadline <= now:  # asked first: gRPC cancels a call whose deadline has passed
                self._counters.expired += 1
                dropped.append((works.popleft(), Expired("the deadline passed while the request was waiting")))
            elif work.promise.cancelled():
                self._counters.cancelled += 1
                dropped.append((works.popleft(), None))
            elif batch and work.likeness != batch[0].work.likeness:
                unlike.append(works.popleft())
            else:
                count = min(room, work.rows - work.batched)
                batch.append(Slice(work, work.batched, work.batched + count))
                work.batched += count
                room -= count
                if work.batched == work.rows:
                    works.popleft()
        works.extendleft(reversed(unlike))
        return batch, dropped
