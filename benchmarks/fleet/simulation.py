"""Queueing simulation of servers that gather requests into batches: what a fleet answers, before it is bought.

A request of one image passes the front end of its server, which works on one request at a time, and waits for the
device. A device that is free takes all that wait, at most a batch; n images need `fixed` + n · `image` seconds.
Closed forms of special cases are in tests/end_to_end/test_fleet_simulation.py.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Choice = Literal["random", "round_robin", "least_of_two"]  # how a client or Envoy chooses a server
Event = tuple[float, int, Callable[[float], None]]


@dataclass(frozen=True)
class Server:
    """One server; all times are seconds.

    Attributes:
        fixed: Time of a batch, whatever its size.
        image: Time of each image in a batch.
        front: Time of the front end for a request.
        max_batch: Maximum images in a batch.
    """

    fixed: float
    image: float
    front: float = 0.0
    max_batch: int = 32

    @property
    def capacity(self) -> float:
        """Maximum images a second."""
        device = self.max_batch / (self.fixed + self.max_batch * self.image)
        return min(device, 1 / self.front) if self.front else device


@dataclass(frozen=True, eq=False)
class Outcome:
    """Result of a simulation: seconds from arrival to answer of each request, and the sizes of the batches."""

    latencies: npt.NDArray[np.float64]
    batches: npt.NDArray[np.int64]
    seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


@dataclass(eq=False)
class _Place:
    """One server while the simulation runs."""

    queue: deque[float] = field(default_factory=deque)
    front_free: float = 0.0
    is_busy: bool = False
    under_way: int = 0


class Simulation:
    """Servers with requests under way."""

    def __init__(self, server: Server, count: int = 1, choice: Choice = "random", seed: int = 0) -> None:
        """Creates `count` servers of one kind; the seed decides which one a request is sent to."""
        self._server, self._choice = server, choice
        self._places = [_Place() for _ in range(count)]
        self._random, self._turn = np.random.default_rng(seed), 0
        self._events: list[Event] = []
        self._number = 0
        self._latencies: list[float] = []
        self._batches: list[int] = []
        self._answered: Callable[[float], None] = lambda _now: None

    def open_loop(self, rate: float, requests: int, seed: int = 1) -> Outcome:
        """Runs requests that arrive at random (Poisson), at `rate` a second, whatever the servers do."""
        for at in np.cumsum(np.random.default_rng(seed).exponential(1 / rate, requests)).tolist():
            self._at(at, self._arrive)
        return self._run(requests)

    def closed_loop(self, callers: int, requests: int, pause: float = 0.0) -> Outcome:
        """Runs callers that send a request `pause` seconds after they got the answer to the last one."""
        self._answered = lambda now: self._at(now + pause, self._arrive)
        for caller in range(callers):
            self._at(caller * 1e-9, self._arrive)
        return self._run(requests)

    def _run(self, requests: int) -> Outcome:
        now = 0.0
        while self._events and len(self._latencies) < requests:
            now, _, event = heapq.heappop(self._events)
            event(now)
        return Outcome(np.array(self._latencies), np.array(self._batches, np.int64), now)

    def _at(self, time: float, event: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (time, self._number, event))

    def _arrive(self, now: float) -> None:
        place = self._choose()
        place.under_way += 1
        place.front_free = max(now, place.front_free) + self._server.front

        def is_ready(then: float) -> None:
            place.queue.append(now)
            if not place.is_busy:
                self._start(place, then)

        self._at(place.front_free, is_ready)

    def _choose(self) -> _Place:
        places = self._places
        if self._choice == "round_robin":
            self._turn += 1
            return places[self._turn % len(places)]
        if self._choice == "random" or len(places) == 1:
            return places[int(self._random.integers(len(places)))]
        one, other = self._random.choice(len(places), 2, replace=False)
        first, second = places[int(one)], places[int(other)]
        return first if first.under_way <= second.under_way else second

    def _start(self, place: _Place, now: float) -> None:
        """Takes what waits as a batch."""
        batch = [place.queue.popleft() for _ in range(min(len(place.queue), self._server.max_batch))]
        place.is_busy = True
        self._batches.append(len(batch))

        def ends(then: float) -> None:
            place.is_busy = False
            place.under_way -= len(batch)
            for arrived in batch:
                self._latencies.append(then - arrived)
                self._answered(then)
            if place.queue:
                self._start(place, then)

        self._at(now + self._server.fixed + len(batch) * self._server.image, ends)
