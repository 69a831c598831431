"""Models in memory: how much they take, when they were last used, and which leave."""

import time
from collections.abc import Callable, Collection
from typing import TypeVar

from resprobe_server.errors import QueueFull, StartError, TooLarge
from resprobe_server.memory import give_back, resident
from resprobe_server.models.repository import Key
from resprobe_server.models.residence.limits import Limits, Resident, leaving
from resprobe_server.models.table import Table

RETRY = 10.0  # seconds after which a model that found no room may be asked for again
MIB = 1 << 20
Result = TypeVar("Result")


def measured(load: Callable[[], Result]) -> tuple[Result, int]:
    """Calls a function. Returns its result, and the bytes that this process grew by, without memory that was freed."""
    give_back()
    before = resident()
    result = load()
    give_back()
    return result, max(0, resident() - before)


class Residents:
    """Models in memory. Lives on the event loop.

    A model with a candidate stays, so that its versions are compared all the time.

    Attributes:
        table: Versions that are served.
        limits: Limits on the models in memory.
    """

    def __init__(self, table: Table, limits: Limits) -> None:
        """Watches the models of a table."""
        self.table, self.limits = table, limits
        self._sizes: dict[Key, int] = {}
        self._loaded: dict[str, float] = {}  # time of the last load, on the clock of time.monotonic

    def check(self, names: Collection[str]) -> None:
        """Raises StartError if the limits leave no room for the models with candidates, of those with these names."""
        kept = sorted(filter(self._is_kept, names))
        if self.limits.models and len(kept) > self.limits.models:
            raise StartError(
                f"max_models is {self.limits.models}, and {len(kept)} models have candidates, which keep them in "
                f"memory: {', '.join(kept)}; expected at least {len(kept)}"
            )

    def loaded(self, key: Key, size: int) -> None:
        """Notes that a version was loaded, and its bytes."""
        self._sizes[key] = size
        self._loaded[key[0]] = time.monotonic()

    def size(self, name: str) -> int:
        """Returns the bytes that a model takes, or took when it was in memory."""
        return sum(self._sizes.get((name, number), 0) for number in self.table.versions(name))

    def names(self) -> list[str]:
        """Returns the names of the models in memory."""
        return [name for name in self.table.names() if self.table.is_loaded(name)]

    def check_size(self, name: str) -> None:
        """Raises TooLarge if a model is larger than all together may be."""
        size, limit = self.size(name), self.limits.memory
        if limit and size > limit:
            raise TooLarge(
                f"model {name} needs {size / MIB:.0f} MiB, and all models together may have {limit / MIB:.0f}: "
                "the server's --max-memory is too small for it"
            )

    def before(self, name: str) -> list[str]:
        """Returns the names of the models that must leave before a model is loaded.

        Raises:
            TooLarge: The model is larger than all together may be.
            QueueFull: Those that must stay leave no room for it.
        """
        self.check_size(name)
        found = leaving([self._resident(one) for one in self.names() if one != name], self.size(name), self.limits)
        if found is None:
            kept = ", ".join(filter(self._is_kept, self.names()))
            raise QueueFull(
                f"there is no room for model {name}: --max-models or --max-memory is used up by models that stay in "
                f"memory because they have candidates ({kept})",
                RETRY,
            )
        return found

    def after(self, newest: str) -> list[str]:
        """Returns the names of the models that must leave after one was loaded; the newest itself if nothing helps."""
        others = [self._resident(one) for one in self.names() if one != newest]
        found = leaving(others, self.size(newest), self.limits)
        return found if found is not None else [] if self._is_kept(newest) else [newest]

    def _is_kept(self, name: str) -> bool:
        return self.table.route(name).candidate is not None

    def _resident(self, name: str) -> Resident:
        batchers = [one for version in self.table.versions(name).values() for one in version.batchers.values()]
        used = max([self._loaded.get(name, 0.0), *(one.queue.last_ended for one in batchers)])
        busy = any(one.pending for one in batchers)
        return Resident(name, self.size(name), used, busy, self._is_kept(name))
