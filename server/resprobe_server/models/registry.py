"""Keeps the table of models in step with the repository: at the start, when files change, and on request.

A version is loaded beside the one that it replaces, and the two are exchanged at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from pathlib import Path

import structlog

from resprobe_server.config import Config
from resprobe_server.errors import LoadFailed, NotFound, NotSupported, StartError
from resprobe_server.models import succession
from resprobe_server.models.loader import Loader
from resprobe_server.models.repository import Found, Key, passed_over, scan, wanted
from resprobe_server.models.states import Attempt, LoadCounts, State, Status
from resprobe_server.models.table import Table, listed
from resprobe_server.models.version import Version
from resprobe_server.scheduling.worker import Device

log = structlog.get_logger()


class Models:
    """Loaded models. Lives on the event loop; the table's `get` may be called on any thread.

    Attributes:
        table: Versions that are served.
        counts: Counts of loads since the start.
    """

    def __init__(self, config: Config, device: Device, show: Callable[[str, bool], Awaitable[None]]) -> None:
        """Creates the models of a server; none is loaded before `start`.

        Args:
            config: Configuration of the server.
            device: Device that runs the graphs.
            show: Called with the name of each model that begins to be served (True) or ceases to be (False).
        """
        self._config, self._device, self._show = config, device, show
        self._loader: Loader
        self._attempts: dict[Key, Attempt] = {}
        self._pending: set[Key] = set()
        self._logged: set[Path] = set()  # directories that the log says were passed over
        self._lock = asyncio.Lock()  # guards every change of the table
        self.table, self.counts = Table(), LoadCounts()

    async def start(self) -> None:
        """Loads the models of the configuration. A version that fails to load is left out, and the log says why.

        Raises:
            StartError: The repository does not exist or no version in it loads, or the device cannot be used.
        """
        config = self._config
        self._loader = await asyncio.to_thread(Loader, config, self._device)
        try:
            found = await asyncio.to_thread(scan, config.repository)
        except OSError as error:
            raise StartError(f"{config.repository} cannot be read: {error.strerror}") from error
        names = wanted(config, {one.name for one in found})
        async with self._lock:
            await self._follow([one for one in found if one.name in names], set())
        if not self.table.names() and (names or config.mode != "explicit"):
            count = len(self._attempts)
            raise StartError(f"none of the {count} model versions in {config.repository} could be loaded")
        self.table.is_open = True
        for name in self.table.names():
            await self._show(name, True)

    async def refresh(self) -> None:
        """Loads the versions that are new or have changed, and drops those that the repository no longer holds.

        Raises:
            OSError: The repository cannot be read; the table stays as it was.
        """
        async with self._lock:
            await self._follow(await asyncio.to_thread(scan, self._config.repository), set(self._attempts))

    async def load_model(self, name: str) -> None:
        """Loads all versions of a model, also those that have failed before, unless they are loaded and unchanged.

        Raises:
            NotSupported: The server does not run in explicit mode.
            NotFound: The repository has no such model.
            LoadFailed: A version did not load; the other versions are served, and so is the one that it was to
                replace.
        """
        self._check_explicit()
        async with self._lock:
            everything = await asyncio.to_thread(scan, self._config.repository)
            found = [one for one in everything if one.name == name]
            known = {key for key in self._attempts if key[0] == name}
            for key in known:
                if self._attempts[key].failure:
                    del self._attempts[key]
            await self._follow(found, known)
            failed = [
                f"version {one.number}: {failure}" for one in found if (failure := self._attempts[one.key].failure)
            ]
        if not found:
            raise NotFound(f"the repository has no model {name!r}; {listed({one.name for one in everything})}")
        if failed:
            raise LoadFailed(f"model {name} could not be loaded, {'; '.join(failed)}")

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
            for key in [key for key in self._attempts if key[0] == name]:
                await self._drop(key)

    def index(self) -> list[Status]:
        """Returns the status of every version that the repository holds or the table still has, by name and number.

        Raises:
            OSError: The repository cannot be read.
        """
        there = {one.key for one in scan(self._config.repository)}
        return [self._status(key) for key in sorted(there | self._attempts.keys())]

    async def _follow(self, found: Sequence[Found], known: Set[Key]) -> None:
        """Loads the versions of `found` that have changed, and drops those of `known` that were not found."""
        for path, reason in await asyncio.to_thread(lambda: list(passed_over(self._config.repository))):
            if path not in self._logged:
                self._logged.add(path)
                log.warning("directory passed over", directory=str(path), reason=reason)
        changed = [one for one in found if one.key not in self._attempts or self._attempts[one.key].stamp != one.stamp]
        self._pending = {one.key for one in changed}
        try:
            for one in changed:
                await self._load(one)
        finally:
            self._pending.clear()
        for key in known - {one.key for one in found}:
            await self._drop(key)
        for one in found:  # the versions that it was incompatible with were removed: as after a start
            if self._attempts[one.key].refused and not self.table.versions(one.name):
                await self._load(one)

    async def _load(self, found: Found) -> None:
        """Loads a version beside the one that is served under its number, and replaces that one if it is fit."""
        name, number = found.key
        replaces = number in self.table.versions(name)
        try:
            version = await asyncio.to_thread(self._loader.load, found)
            if not self._config.allow_incompatible:
                succession.check(version, self.table.versions(name))
        except succession.Incompatible as error:
            self.counts.incompatible[name] += 1
            self._attempts[found.key] = Attempt(found.stamp, str(error), refused=True)
            log.error("version of another kind refused", model=name, version=number, reason=str(error))
            return
        except Exception as error:  # files made elsewhere can fail in any way; the other versions must serve
            self.counts.failed[name] += 1
            self._attempts[found.key] = Attempt(found.stamp, str(error))
            log.error("model failed to load", model=name, version=number, reason=str(error), old_serves=replaces)
            return
        finally:
            self._pending.discard(found.key)
        self.counts.loaded[name] += 1
        self._attempts[found.key] = Attempt(found.stamp)
        await self._serve(name, {**self.table.versions(name), number: version})
        shown = {"blocks": len(version.description.blocks), "provider": version.description.serving.provider}
        log.info("model loaded", model=name, version=number, replaces=replaces, **shown)
        for note in version.notes:
            log.warning("served with a note", model=name, version=number, note=note)

    async def _drop(self, key: Key) -> None:
        name, number = key
        self._attempts.pop(key, None)
        versions = self.table.versions(name)
        if number in versions:
            await self._serve(name, {other: version for other, version in versions.items() if other != number})
            log.info("model removed", model=name, version=number)

    async def _serve(self, name: str, versions: dict[int, Version]) -> None:
        self.table.replace(name, versions)
        if self.table.is_open:
            await self._show(name, bool(versions))

    def _status(self, key: Key) -> Status:
        name, number = key
        served = self.table.versions(name).get(number)
        if key in self._pending:
            state, reason = State.LOADING, ""
        elif key in self._attempts:
            state, reason = State.UNAVAILABLE, self._attempts[key].failure
        else:
            state, reason = State.UNAVAILABLE, "not loaded"
        if served is None:
            return Status(name, number, state, reason)
        return Status(name, number, State.READY, reason, "; ".join(served.notes))

    def _check_explicit(self) -> None:
        if (mode := self._config.mode) != "explicit":
            raise NotSupported(f"models are loaded and unloaded by request with --mode explicit only; this is {mode}")
