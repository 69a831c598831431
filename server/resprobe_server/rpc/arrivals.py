"""Calls whose request has not come yet: it must come within a time, and until then they take nobody's place.

A call gets its place among those under way (admission.py) with its request; of a stream, with the first. So calls whose
request never comes cannot shut out those whose request comes with them. Many wait only where they are opened to wait:
then the oldest end of whoever has most.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resprobe_server.errors import Expired, QueueFull

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

    from resprobe_server.rpc.admission import CallLimit
    from resprobe_server.rpc.call import Call

WAITING = 1024  # calls that may wait for their request
MADE_FREE = 128  # places that are made free at a time, since it takes a look at all
LOOKS = 20  # looks for late calls within the time that they have


class Arrivals:
    """Waits for requests; see the top of the module."""

    def __init__(self, seconds: float = 0.0, limit: "CallLimit | None" = None) -> None:
        """Makes it.

        Args:
            seconds: That a request may take to come; 0: any time.
            limit: Gives places to calls whose request has come. If None, all have one.
        """
        self._seconds, self._limit = seconds, limit
        self._waiting: dict[Call, None] = {}  # oldest first; who takes a call out of it decides what becomes of it

    def expect(self, call: "Call") -> None:
        """Begins to wait for the request of a call. On the poller's thread. Raises QueueFull if it has no place."""
        if self._limit is not None:
            self._limit.check(call)
        call.add_done_callback(self._ended)
        self._waiting[call] = None
        if len(self._waiting) > WAITING:
            self._make_room()

    def came(self, call: "Call") -> bool:
        """The request of a call is there; returns whether it was still waited for. On the poller's thread."""
        return self._waiting.pop(call, self) is None

    def enter(self, call: "Call") -> None:
        """Gives a call its place. On the poller's thread. Raises QueueFull if there is none."""
        if self._limit is not None:
            self._limit.enter(call)

    @contextmanager
    def looking(self, loop: "AbstractEventLoop") -> Iterator[None]:
        """Ends, while the context is open, what waits too long."""
        if not self._seconds:
            yield
            return

        timer: TimerHandle

        def look() -> None:
            nonlocal timer
            self._end_late()
            timer = loop.call_later(self._seconds / LOOKS, look)

        timer = loop.call_later(self._seconds / LOOKS, look)
        try:
            yield
        finally:
            timer.cancel()

    def _end_late(self) -> None:
        now = time.monotonic()
        for call in list(self._waiting):
            if now - call.began < self._seconds:
                return  # those that follow are younger
            if self.came(call):
                call.break_off(Expired(f"no request came within {self._seconds:g} s of the call"))

    def _make_room(self) -> None:
        waiting = list(self._waiting)
        (origin, _), *_ = Counter(call.origin for call in waiting).most_common(1)
        error = QueueFull(f"too many calls of {origin} wait for their request", retry_after=1.0)
        for call in [call for call in waiting if call.origin == origin][:MADE_FREE]:
            if self.came(call):
                call.post(call.break_off, error)

    def _ended(self, call: "Call") -> None:
        self._waiting.pop(call, None)
        if self._limit is not None:
            self._limit.leave(call)
