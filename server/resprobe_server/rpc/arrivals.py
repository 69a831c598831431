"""Calls whose request has not arrived: it must arrive within a time, and until then they take no client's place.

A call gets its place among those under way (admission.py) with its request; a stream gets it with the first. So calls
whose request never arrives cannot shut out those whose request arrives with them. Many wait only where they are opened
in order to wait: then the oldest are ended, of the origin that has most.
"""

import time
from asyncio import AbstractEventLoop, TimerHandle
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from resprobe_server.errors import Expired, QueueFull
from resprobe_server.rpc.context import LimitedCall

WAITING = 1024  # maximum calls that wait for their request
MADE_FREE = 128  # places that are made free at a time, since that means walking through all
CHECKS = 20  # checks for late calls within the time that they have


class Limit(Protocol):
    """Gives places to calls."""

    def check(self, call: LimitedCall, /) -> None:
        """Raises QueueFull if there is no place for a call."""

    def enter(self, call: LimitedCall, /) -> None:
        """Gives a place to a call. Raises QueueFull if there is none."""

    def leave(self, call: LimitedCall, /) -> None:
        """Takes back the place of a call that has ended."""


class Arrivals:
    """Waits for requests; see the top of the module."""

    def __init__(self, seconds: float = 0.0, limit: Limit | None = None) -> None:
        """Creates it without calls.

        Args:
            seconds: Maximum seconds from a call to its request. If 0, the request may arrive at any time.
            limit: Gives places to calls whose request has arrived. If None, all have one.
        """
        self._seconds, self._limit = seconds, limit
        self._waiting: dict[LimitedCall, None] = {}  # oldest first; whichever thread removes a call decides its end

    def expect(self, call: LimitedCall) -> None:
        """Begins to wait for the request of a call. Runs on gRPC's thread. Raises QueueFull if there is no place."""
        if self._limit is not None:
            self._limit.check(call)
        call.add_done_callback(self._ended)
        self._waiting[call] = None
        if len(self._waiting) > WAITING:
            self._make_room()

    def came(self, call: LimitedCall) -> bool:
        """Removes a call whose request has arrived; returns whether it was waited for. Runs on gRPC's thread."""
        return self._waiting.pop(call, self) is None

    def enter(self, call: LimitedCall) -> None:
        """Gives a call its place. Runs on gRPC's thread. Raises QueueFull if there is none."""
        if self._limit is not None:
            self._limit.enter(call)

    @contextmanager
    def checking(self, loop: AbstractEventLoop) -> Iterator[None]:
        """Ends calls that wait too long, while the context is open."""
        if not self._seconds:
            yield
            return

        timer: TimerHandle

        def check() -> None:
            nonlocal timer
            self._end_late()
            timer = loop.call_later(self._seconds / CHECKS, check)

        timer = loop.call_later(self._seconds / CHECKS, check)
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

    def _ended(self, call: LimitedCall) -> None:
        self._waiting.pop(call, None)
        if self._limit is not None:
            self._limit.leave(call)
