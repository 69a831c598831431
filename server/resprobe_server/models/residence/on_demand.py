"""Models that come into memory when requests ask for them, and leave it when others need the room."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resprobe_server.errors import LoadFailed, NotFound, NotReady, RequestError, TooLarge
from resprobe_server.models.repository import scan_model
from resprobe_server.models.residence.departures import Departures
from resprobe_server.models.residence.loads import Loads
from resprobe_server.models.residence.reader import Reader
from resprobe_server.models.residence.residents import Residents
from resprobe_server.models.table import Table, listed
from resprobe_server.models.version import Version
from resprobe_server.scheduling.budget import Budget

PAUSE = 10.0  # seconds after a load that failed before a request makes another attempt
Serve = Callable[[str, dict[int, Version]], Awaitable[None]]


@dataclass(frozen=True)
class Failure:
    """Failure of a load that requests waited for.

    Attributes:
        reason: Reason, as the requests were told.
        until: Time before which the model is not loaded again, on the clock of time.monotonic.
    """

    reason: str
    until: float


class OnDemand:
    """Models that are loaded when they are asked for. Lives on the event loop.

    Attributes:
        residents: Models in memory.
    """

    def __init__(
        self, repository: Path, lock: asyncio.Lock, residents: Residents, reader: Reader, serve: Serve, waiting: Budget
    ) -> None:
        """Creates a part of the registry.

        Args:
            repository: Directory of the model repository.
            lock: Guards every change of the table.
            residents: Models in memory.
            reader: Loads versions.
            serve: Exchanges the versions of a model.
            waiting: Bytes of requests that may wait.
        """
        self._repository, self._lock, self._reader, self._serve = repository, lock, reader, serve
        self.residents, self._table = residents, residents.table
        self._departures = Departures(self._table, reader.call)
        self._loads = Loads(self._bring, waiting)
        self._failures: dict[str, Failure] = {}

    async def bring(self, name: str, deadline: float, size: int = 0) -> Table:
        """Waits until a model that is served is in memory, and loads it if it is not.

        Args:
            name: Name of the model.
            deadline: Deadline on the clock of time.monotonic.
            size: Bytes of the request that waits for it.

        Returns:
            A table with the model alone, whose versions are in memory for as long as it is used.

        Raises:
            NotFound: There is no such model any more.
            LoadFailed: It could not be loaded.
            TooLarge: It needs more memory than all together may have.
            QueueFull: Other models leave no room, or too many bytes wait.
            Expired: The deadline has passed.
        """
        if self._table.is_loaded(name):
            return self._table.only(name)
        if (error := self.obstacle(name)) is not None:
            raise error
        return await self._loads.wait(name, deadline, size)

    def obstacle(self, name: str) -> RequestError | None:
        """Returns why requests for a model are not answered now. If None, they are, as far as is known."""
        if self._table.is_loaded(name):
            return None
        failure = self._failures.get(name)
        if failure is not None and time.monotonic() < failure.until:
            return LoadFailed(failure.reason)
        try:
            self.residents.check_size(name)
        except TooLarge as error:
            return error
        return None

    async def load(self, name: str) -> None:
        """Loads all versions of a model that is not in memory, after others have made room; the lock must be held.

        Raises:
            RequestError: It could not be loaded, as `bring` says.
        """
        await self._make_room(self.residents.before(name))
        there = await self._reader.call(partial(scan_model, self._repository, name))
        attempts = self._reader.attempts
        found = [one for one in there if one.key in attempts and not attempts[one.key].refused]
        if not found:
            await self._serve(name, {})
            raise NotFound(f"no model {name!r}; {listed(self._table.names())}")
        loaded = {one.number: await self._reader.read(one) for one in found}
        versions = {number: version for number, version in loaded.items() if version is not None}
        if not versions:
            reason = f"model {name} could not be loaded, {self._reader.failed(found)}"
            self._failures[name] = Failure(reason, time.monotonic() + PAUSE)
            raise LoadFailed(reason)
        await self._serve(name, versions)
        del loaded, versions  # nothing here may keep in memory what leaves
        await self.loaded(name)
        if not self._table.is_loaded(name):
            self.residents.before(name)  # raises why

    async def loaded(self, name: str) -> None:
        """Unloads what must leave after a model was loaded; the lock must be held."""
        self._failures.pop(name, None)
        await self._make_room(self.residents.after(name))

    def see_off(self, versions: dict[int, Version]) -> None:
        """Returns the memory of versions that leave the table to the system, once they have answered all."""
        self._departures.see_off(versions)

    def close(self) -> None:
        """Gives up loads that are under way."""
        self._loads.close()
        self._departures.close()

    async def _bring(self, name: str) -> Table:
        async with self._lock:
            if not self._loads.is_wanted(name):
                raise NotReady(f"no request waits for model {name} any more")
            if not self._table.is_loaded(name):
                if (error := self.obstacle(name)) is not None:
                    raise error
                await self.load(name)
            return self._table.only(name)

    async def _make_room(self, names: Sequence[str]) -> None:
        for name in names:
            self._reader.counts.evicted[name] += 1
            await self._departures.unload(name)
