"""States of a stream of requests: whether the next request is asked for, and when the stream is done.

The table says for each state what each event leads to, and what is to be done then. `Intake` counts the requests that
are open (read, and not yet answered or handed on) and chooses the event by how many there are.
"""

from collections.abc import Mapping
from enum import IntEnum, auto
from threading import Lock


class State(IntEnum):
    """State of a stream of requests. An IntEnum, for its hash is cheap."""

    IDLE = auto()  # nothing was asked for
    FIRST = auto()  # the first request was asked for
    NEXT = auto()  # another request was asked for
    FULL = auto()  # as many requests are open as may be: nothing is asked for
    LAST = auto()  # no more requests are read, and some are open
    DONE = auto()  # no more requests are read, and none is open; or the call has ended


class Event(IntEnum):
    """Event of a stream of requests."""

    OPEN = auto()  # the stream begins
    REQUEST = auto()  # a request was read; there is room for another
    REQUEST_FULL = auto()  # a request was read; there is no room for another
    ANSWER = auto()  # a request was answered; there is room for another
    ANSWER_FULL = auto()  # a request was answered; there is no room for another
    ANSWER_LAST = auto()  # a request was answered, and none is open
    CLOSE = auto()  # no more requests are to be read
    CLOSE_EMPTY = auto()  # no more requests are to be read, and none is open
    STOP = auto()  # the call has ended


class Action(IntEnum):
    """What an event asks the call to do."""

    NOTHING = auto()
    ASK = auto()  # ask core for a request
    WAKE = auto()  # the last request was answered: end the call
    DROP = auto()  # ignore the request that was read


Step = tuple[State, Action]
_CLOSE: Mapping[Event, Step] = {
    Event.CLOSE: (State.LAST, Action.NOTHING),
    Event.CLOSE_EMPTY: (State.DONE, Action.WAKE),
    Event.STOP: (State.DONE, Action.NOTHING),
}
_READ: Mapping[Event, Step] = {
    Event.REQUEST: (State.NEXT, Action.ASK),
    Event.REQUEST_FULL: (State.FULL, Action.NOTHING),
}
TABLE: Mapping[State, Mapping[Event, Step]] = {
    State.IDLE: {Event.OPEN: (State.FIRST, Action.ASK), **_CLOSE},
    State.FIRST: {**_READ, **_CLOSE},
    State.NEXT: {
        **_READ,
        **dict.fromkeys((Event.ANSWER, Event.ANSWER_FULL, Event.ANSWER_LAST), (State.NEXT, Action.NOTHING)),
        **_CLOSE,
    },
    State.FULL: {
        Event.ANSWER: (State.NEXT, Action.ASK),
        Event.ANSWER_FULL: (State.FULL, Action.NOTHING),
        Event.ANSWER_LAST: (State.NEXT, Action.ASK),
        **_CLOSE,
    },
    State.LAST: {
        **dict.fromkeys((Event.REQUEST, Event.REQUEST_FULL), (State.LAST, Action.DROP)),
        **dict.fromkeys((Event.ANSWER, Event.ANSWER_FULL, Event.CLOSE), (State.LAST, Action.NOTHING)),
        **dict.fromkeys((Event.ANSWER_LAST, Event.CLOSE_EMPTY), (State.DONE, Action.WAKE)),
        Event.STOP: (State.DONE, Action.NOTHING),
    },
    State.DONE: {
        **dict.fromkeys(Event, (State.DONE, Action.NOTHING)),
        **dict.fromkeys((Event.REQUEST, Event.REQUEST_FULL), (State.DONE, Action.DROP)),
    },
}


class Intake:
    """The state of one stream. All methods may be called on any thread.

    Attributes:
        state: State of the stream.
        open: Requests that were read and not yet answered.
        error: Reason why no more requests are read. If None, the client ended its requests, or they are still read.
    """

    __slots__ = ("_largest", "_limit", "_lock", "_most", "error", "open", "state")

    def __init__(self, limit: int, most: float) -> None:
        """Creates the state of a stream that has not begun.

        Args:
            limit: Maximum requests that are open.
            most: Bytes that the open requests and their responses may take, reckoned from the largest so far. Beyond,
                no more requests are read.
        """
        self.state, self.open = State.IDLE, 0
        self._limit, self._most, self._largest, self._lock = limit, most, 1, Lock()
        self.error: Exception | None = None

    def begin(self) -> Action:
        """Begins the stream."""
        with self._lock:
            return self._step(Event.OPEN)

    def request(self, size: int) -> Action:
        """Counts a request of `size` bytes that was read, unless it is to be dropped."""
        with self._lock:
            self._largest = max(self._largest, size)
            action = self._step(Event.REQUEST if self._has_room(self.open + 1) else Event.REQUEST_FULL)
            if action is not Action.DROP:
                self.open += 1
            return action

    def measure(self, size: int) -> None:
        """Reckons with responses of `size` bytes."""
        with self._lock:
            self._largest = max(self._largest, size)

    def answer(self) -> Action:
        """Counts a request that was answered."""
        with self._lock:
            self.open -= 1
            if not self.open:
                return self._step(Event.ANSWER_LAST)
            return self._step(Event.ANSWER if self._has_room(self.open) else Event.ANSWER_FULL)

    def close(self, error: Exception | None, unread: int = 0) -> Action:
        """Reads no more requests; the reason of the first call is kept.

        Args:
            error: Reason. If None, the client ended its requests.
            unread: Requests that were counted and turned out not to be requests.
        """
        with self._lock:
            self.open -= unread
            if self.state not in (State.LAST, State.DONE):
                self.error = error
            return self._step(Event.CLOSE if self.open else Event.CLOSE_EMPTY)

    def stop(self) -> None:
        """Drops everything from now on, for the call has ended."""
        with self._lock:
            self._step(Event.STOP)

    def _step(self, event: Event) -> Action:
        self.state, action = TABLE[self.state][event]
        return action

    def _has_room(self, count: int) -> bool:
        return count < self._limit and (not count or count * self._largest < self._most)
