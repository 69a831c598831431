"""Keeps the table of models in step with the repository: at the start, when files change, and on request.

A version is loaded beside the one that it replaces, and the two are exchanged at once. Where models in memory are
limited, one that leaves stays in the table without its graphs, and requests for it load it again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from functools import partial
from pathlib import Path

import structlog

from resprobe_server.config import Config
from resprobe_server.errors import LoadFailed, NotFound, NotSupported, StartError
from resprobe_server.models.repository import Found, Key, passed_over, scan, wanted
from resprobe_server.models.residence.limits import Limits
from resprobe_server.models.residence.on_demand import OnDemand
from resprobe_server.models.residence.reader import Reader
from resprobe_server.models.residence.residents import Residents
from resprobe_server.models.states import LoadCounts, State, Status
from resprobe_server.models.table import Table, listed
from resprobe_server.models.version import Version
from resprobe_server.scheduling.budget import Budget
from resprobe_server.scheduling.worker import Device

log = structlog.get_logger()


class Models:
    """Loaded models. Lives on the event loop; the table's `get` may be called on any thread.

    Attributes:
        table: Versions that are served.
        on_demand: Loads models that are not in memory.
    """

    def __init__(
        self,
        config: Config,
        device: Device,
        show: Callable[[str, bool], Awaitable[None]],
        waiting: Budget | None = None,
    ) -> None:
        """Creates the models of a server; none is loaded before `start`.

        Args:
            config: Configuration of the server.
            device: Device that runs the graphs.
            show: Called with the name of each model that begins to be served (True) or ceases to be (False).
            waiting: Bytes of requests that may wait. If None, they are not bounded.
        """
        self._config, self._device, self._show = config, device, show
        self._logged: set[Path] = set()  # directories that the log says were passed over
        self._lock = asyncio.Lock()  # guards every change of the table
        self.table = Table()
        residents = Residents(self.table, Limits(config.max_models, config.memory_limit))
        self._reader = Reader(config, residents)
        self.on_demand = OnDemand(
            config.repository, self._lock, residents, self._reader, self._serve, waiting or Budget()
        )

    @property
    def counts(self) -> LoadCounts:
        """Counts of loads since the start."""
        return self._reader.counts

    async def start(self) -> None:
        """Loads the models of the configuration. A version that fails to load is left out, and the log says why.

        Raises:
            StartError: The repository does not exist or no version in it loads, or the device cannot be used.
        """
        config = self._config
        await self._reader.start(self._device)
        try:
            found = await self._reader.call(partial(scan, config.repository))
        except OSError as error:
            raise StartError(f"{config.repository} cannot be read: {error.strerror}") from error
        names = wanted(config, {one.name for one in found})
        self.on_demand.residents.check(names)
        async with self._lock:
            await self._follow([one for one in found if one.name in names], set())
        if not self.table.names() and (names or config.mode != "explicit"):
            count = len(self._reader.attempts)
            raise StartError(f"none of the {count} model versions in {config.repository} could be loaded")
        self.table.is_open = True
        for name in self.table.names():
            await self._tell(name)

    async def refresh(self) -> None:
        """Loads the versions that are new or have changed, and drops those that the repository no longer holds.

        Raises:
            OSError: The repository cannot be read; the table stays as it was.
        """
        async with self._lock:
            await self._follow(
                await self._reader.call(partial(scan, self._config.repository)), set(self._reader.attempts)
            )

    async def load_model(self, name: str) -> None:
        """Loads all versions of a model, also those that have failed before, unless they are loaded and unchanged.

        Raises:
            NotSupported: The server does not run in explicit mode.
            NotFound: The repository has no such model.
            LoadFailed: A version did not load; the other versions are served, and so is the one that it was to
                replace.
            TooLarge: The model needs more memory than all together may have.
            QueueFull: Other models leave no room for it.
        """
        self._check_explicit()
        async with self._lock:
            everything = await self._reader.call(partial(scan, self._config.repository))
            found = [one for one in everything if one.name == name]
            known = {key for key in self._reader.attempts if key[0] == name}
            for key in known:
                if self._reader.attempts[key].failure:
                    del self._reader.attempts[key]
            await self._follow(found, known)
            failed = self._reader.failed(found)
            if self.table.versions(name) and not self.table.is_loaded(name):
                await self.on_demand.load(name)
        if not found:
            raise NotFound(f"the repository has no model {name!r}; {listed({one.name for one in everything})}")
        if failed:
            raise LoadFailed(f"model {name} could not be loaded, {failed}")

    async def unload_model(self, name: str) -> None:
        """Removes a model from the table; requests that were accepted are answered.

        Raises:
            NotSupported: The server does not run in explicit mode.
            NotFound: The model is not loaded.
        """
        self._check_explicit()
        async with self._lock:
            if name not in self.table.names():
                raise NotFound(f"no model {name!r} is loaded; {listed(self.table.names())}")
            for key in [key for key in self._reader.attempts if key[0] == name]:
                await self._drop(key)

    def index(self) -> list[Status]:
        """Returns the status of every version that the repository holds or the table still has, by name and number.

        Raises:
            OSError: The repository cannot be read.
        """
        there = {one.key for one in scan(self._config.repository)}
        return [self._status(key) for key in sorted(there | self._reader.attempts.keys())]

    async def _follow(self, found: Sequence[Found], known: Set[Key]) -> None:
        """Loads the versions of `found` that have changed, and drops those of `known` that were not found."""
        for path, reason in await self._reader.call(lambda: list(passed_over(self._config.repository))):
            if path not in self._logged:
                self._logged.add(path)
                log.warning("directory passed over", directory=str(path), reason=reason)
        changed = [
            one
            for one in found
            if one.key not in self._reader.attempts or self._reader.attempts[one.key].stamp != one.stamp
        ]
        self._reader.pending = {one.key for one in changed}
        try:
            for one in changed:
                await self._load(one)
        finally:
            self._reader.pending.clear()
        for key in known - {one.key for one in found}:
            await self._drop(key)
        for one in found:  # the versions that it was incompatible with were removed: as after a start
            if self._reader.attempts[one.key].refused and not self.table.versions(one.name):
                await self._load(one)

    async def _load(self, found: Found) -> None:
        """Loads a version beside the one that is served under its number, and replaces that one if it is fit."""
        name, number = found.key
        versions = self.table.versions(name)
        if (version := await self._reader.read(found)) is None:
            return
        if versions and not self.table.is_loaded(name):  # it is fit, and loaded again with the others when asked for
            await self._serve(name, {**versions, number: version.unloaded()})
            return
        await self._serve(name, {**versions, number: version})
        del version, versions  # nothing here may keep in memory what leaves
        await self.on_demand.loaded(name)
        await self._tell(name)

    async def _drop(self, key: Key) -> None:
        name, number = key
        self._reader.attempts.pop(key, None)
        versions = self.table.versions(name)
        if number in versions:
            await self._serve(name, {other: version for other, version in versions.items() if other != number})
            log.info("model removed", model=name, version=number)

    async def _serve(self, name: str, versions: dict[int, Version]) -> None:
        before = self.table.versions(name)
        self.table.replace(name, versions)
        if gone := {n: one for n, one in before.items() if one.is_loaded and versions.get(n) is not one}:
            self.on_demand.see_off(gone)
        await self._tell(name)

    async def _tell(self, name: str) -> None:
        """Tells others whether a model is served."""
        if self.table.is_open:
            await self._show(name, bool(self.table.versions(name)) and self.on_demand.obstacle(name) is None)

    def _status(self, key: Key) -> Status:
        name, number = key
        served = self.table.versions(name).get(number)
        if key in self._reader.pending:
            state, reason = State.LOADING, ""
        elif key in self._reader.attempts:
            state, reason = State.UNAVAILABLE, self._reader.attempts[key].failure
        else:
            state, reason = State.UNAVAILABLE, "not loaded"
        if served is None:
            return Status(name, number, state, reason)
        if not served.is_loaded and state is not State.LOADING:
            obstacle = self.on_demand.obstacle(name)
            reason = "not in memory; a request for it loads it" if obstacle is None else str(obstacle)
            return Status(name, number, state, reason)
        return Status(name, number, State.READY, reason, "; ".join(served.notes))

    def close(self) -> None:
        """Gives up loads that are under way."""
        self.on_demand.close()
        self._reader.close()

    def _check_explicit(self) -> None:
        if (mode := self._config.mode) != "explicit":
            raise NotSupported(f"models are loaded and unloaded by request with --mode explicit only; this is {mode}")
