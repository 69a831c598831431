"""Times contenders by turns, so that a noisy neighbour and a warm device disturb all of them alike."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median

Run = Callable[[], object]
WARM_UP = 3  # calls before the clock runs: kernels are chosen, compiled and recorded


class Race:
    """Contenders, each with the seconds that a call took in each turn. One that fails is left out from then on.

    Attributes:
        failures: Reason for the failure of each contender that failed.
    """

    def __init__(self, contenders: Mapping[str, Callable[[], Run]], turns: int, seconds: float) -> None:
        """Prepares every contender, and runs all of them by turns.

        Args:
            contenders: Function by name that prepares a contender: opens a session, compiles, copies to the device.
            turns: Number of turns of each contender.
            seconds: Seconds of a turn, one call at a time.
        """
        self.failures: dict[str, str] = {}
        self._times: dict[str, list[float]] = {name: [] for name in contenders}
        ready: dict[str, Run] = {}
        for name, make in contenders.items():
            with self._dropping(name, ready):
                ready[name] = make()
                for _ in range(WARM_UP):
                    ready[name]()
        for _ in range(turns):
            for name, run in list(ready.items()):
                with self._dropping(name, ready):
                    self._times[name].append(call_seconds(run, seconds))

    @contextmanager
    def _dropping(self, name: str, ready: dict[str, Run]) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a framework raises; the others go on
            ready.pop(name, None)
            self._times[name].clear()
            self.failures[name] = reason(error)

    def seconds(self, name: str) -> float | None:
        """Returns the median of the turns, for one call. If None, the contender has failed."""
        return median(self._times[name]) if self._times.get(name) else None

    def rate(self, name: str, images: int) -> float | None:
        """Returns images/s if a call processes so many images. If None, the contender has failed."""
        seconds = self.seconds(name)
        return None if seconds is None else images / seconds

    def ratio(self, name: str, other: str) -> float | None:
        """Returns the time of one contender's call over another's, the median of the ratios within each turn."""
        ours, theirs = self._times.get(name), self._times.get(other)
        return median(a / b for a, b in zip(ours, theirs, strict=True)) if ours and theirs else None


def call_seconds(run: Run, seconds: float) -> float:
    """Measures the mean seconds of a call, over at least one call and about so many seconds."""
    begin = time.perf_counter()
    calls = 0
    while (passed := time.perf_counter() - begin) < seconds or not calls:
        run()
        calls += 1
    return passed / calls


def reason(error: Exception) -> str:
    """Describes an error in a line that fits into a table's notes."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
