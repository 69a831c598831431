"""The table of models that are served, and how it follows the repository.

A version is loaded beside the one that it replaces, and the two are exchanged at once. Who has found a version in the
table may use it for as long as it likes: what was accepted is finished by the version that accepted it, and the last
one to let go of it frees its sessions.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence, Set
from pathlib import Path
from typing import Any

import structlog
from resprobe_protos.contract import LEAN

from resprobe_server.config import Config
from resprobe_server.errors import InvalidRequest, LoadFailed, NotFound, NotReady, NotSupported, StartError
from resprobe_server.models.loader import Loader
from resprobe_server.models.repository import Found, Key, is_number, passed_over, scan
from resprobe_server.models.states import Attempt, State, Status
from resprobe_server.models.succession import Incompatible
from resprobe_server.models.succession import check as check_succession
from resprobe_server.models.version import Version
from resprobe_server.scheduling.worker import Device

ALL = "*"  # --load: every model
log = structlog.get_logger()


class Models:
    """All loaded versions, by name and number. Lives on the event loop; `get` may be called on any thread.

    Attributes:
        loads: Versions loaded so far, by model.
        failures: Versions that failed to load so far, by model.
        refusals: Versions that were refused so far because they are of another kind than those served, by model.
        derived: For what others derive from the table: empty again, and another, each time that the table changes. Who
            takes it before he looks into the table, and adds to that one, never finds what is out of date.
    """

    def __init__(self, config: Config, device: Device, show: Callable[[str, bool], Awaitable[None]]) -> None:
        """Makes an empty table.

        Args:
            config: Of the server.
            device: To run on.
            show: Told the name of each model that begins or ceases to be served, and which of the two.
        """
        self._config, self._device, self._show = config, device, show
        self._loader: Loader
        self._versions: dict[str, dict[int, Version]] = {}
        self._attempts: dict[Key, Attempt] = {}
        self._pending: set[Key] = set()
        self._passed_over: set[Path] = set()  # as the log says
        self._lock = asyncio.Lock()  # of all that changes the table
        self._started = False
        self.loads: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.derived: dict[Any, Any] = {}

    async def start(self) -> None:
        """Loads what the configuration says. A version that does not load is left out, and the log says why.

        Raises:
            StartError: The repository does not exist or holds nothing that loads, or the device cannot be used.
        """
        config = self._config
        self._loader = await asyncio.to_thread(Loader, config, self._device)
        try:
            found = await asyncio.to_thread(scan, config.repository)
        except OSError as error:
            raise StartError(f"{config.repository} cannot be read: {error.strerror}") from error
        wanted = self._wanted({one.name for one in found})
        async with self._lock:
            await self._follow([one for one in found if one.name in wanted], set())
        if not self._versions and (wanted or config.mode != "explicit"):
            count = len(self._attempts)
            raise StartError(f"none of the {count} model versions in {config.repository} could be loaded")
        self._started = True
        for name in self.names():
            await self._show(name, True)

    def _wanted(self, there: set[str]) -> set[str]:
        """The models to load at the start."""
        config, load = self._config, set(self._config.load)
        if config.mode != "explicit":
            if load:
                raise StartError(f"--load needs --mode explicit; --mode {config.mode} loads all models")
            if not there:
                raise StartError(f"{config.repository} holds no NAME/VERSION/{LEAN}; `exporter build` writes one")
            return there
        if ALL in load:
            return there
        if missing := load - there:
            raise StartError(f"--load {min(missing)}: {config.repository} has no such model; {_listed(there)}")
        return load

    async def refresh(self) -> None:
        """Makes the table what the repository holds now: loads what is new or has changed, drops what is gone.

        Raises:
            OSError: The repository cannot be read; the table is as it was.
        """
        async with self._lock:
            await self._follow(await asyncio.to_thread(scan, self._config.repository), set(self._attempts))

    async def load_model(self, name: str) -> None:
        """Loads all versions of a model, those too that have failed before; what has not changed is left alone.

        Raises:
            NotSupported: The server does not run in explicit mode.
            NotFound: The repository has no such model.
            LoadFailed: A version did not load; the others are served, and so is what it was to replace.
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
            failed = [f"version {one.number}: {self._attempts[one.key].failure}" for one in found if self._failed(one)]
        if not found:
            raise NotFound(f"the repository has no model {name!r}; {_listed({one.name for one in everything})}")
        if failed:
            raise LoadFailed(f"model {name} could not be loaded, {'; '.join(failed)}")

    async def unload_model(self, name: str) -> None:
        """Takes a model out of the table; requests that were accepted are answered.

        Raises:
            NotSupported: The server does not run in explicit mode.
            NotFound: It is not loaded.
        """
        self._check_explicit()
        async with self._lock:
            if name not in self._versions:
                raise NotFound(f"no model {name!r} is loaded; {_listed(self._versions)}")
            for key in [key for key in self._attempts if key[0] == name]:
                await self._drop(key)

    def index(self) -> list[Status]:
        """Every version that the repository holds or the table still has, by name and number.

        Raises:
            OSError: The repository cannot be read.
        """
        there = {one.key for one in scan(self._config.repository)}
        return [self._status(key) for key in sorted(there | self._attempts.keys())]

    def get(self, name: str, version: str) -> Version:
        """The version that a request names.

        Args:
            name: Empty: the only model there is.
            version: Empty: the highest.

        Raises:
            InvalidRequest: No name, and several models.
            NotFound: There is no such model or version; the text says which there are.
            NotReady: Models are still being loaded.
        """
        self._check_started()
        if not name:
            served = self.names()
            if len(served) > 1:
                several = ", ".join(served)
                raise InvalidRequest(f"the request names no model, and several are served: {several}", "model")
            name = served[0] if served else ""
        versions = self._versions.get(name)
        if versions is None:
            raise NotFound(f"no model {name!r}; {_listed(self._versions)}")
        if not version:
            return versions[max(versions)]
        if not is_number(version) or int(version) not in versions:
            numbers = ", ".join(map(str, sorted(versions)))
            raise NotFound(f"model {name} has no version {version!r}; there are: {numbers}")
        return versions[int(version)]

    def all(self) -> list[Version]:
        """Every version, by name and number. Raises NotReady while they are being loaded."""
        self._check_started()
        return [versions[number] for _, versions in sorted(self._versions.items()) for number in sorted(versions)]

    def names(self) -> list[str]:
        """Returns the names of the models that are served."""
        return sorted(self._versions)

    async def _follow(self, found: Sequence[Found], known: Set[Key]) -> None:
        """Loads what of `found` has changed, and drops what of `known` was not found."""
        for path, reason in await asyncio.to_thread(lambda: list(passed_over(self._config.repository))):
            if path not in self._passed_over:
                self._passed_over.add(path)
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
        for one in found:  # what stood in its way is gone: as after a start
            if self._attempts[one.key].refused and one.name not in self._versions:
                await self._load(one)

    async def _load(self, found: Found) -> None:
        """Loads a version beside what is served under its number, and puts it in that one's place if it is fit."""
        name, number = found.key
        replaces = number in self._versions.get(name, ())
        try:
            version = await asyncio.to_thread(self._loader.load, found)
            if not self._config.allow_incompatible:
                check_succession(version, self._versions.get(name, {}))
        except Incompatible as error:
            self.refusals[name] += 1
            self._attempts[found.key] = Attempt(found.stamp, str(error), refused=True)
            log.error("version of another kind refused", model=name, version=number, reason=str(error))
            return
        except Exception as error:  # files made elsewhere can fail in any way; the other versions must serve
            self.failures[name] += 1
            self._attempts[found.key] = Attempt(found.stamp, str(error))
            log.error("model failed to load", model=name, version=number, reason=str(error), old_serves=replaces)
            return
        finally:
            self._pending.discard(found.key)
        self.loads[name] += 1
        self._attempts[found.key] = Attempt(found.stamp)
        await self._serve(name, {**self._versions.get(name, {}), number: version})
        shown = {"blocks": len(version.description.blocks), "provider": version.description.serving.provider}
        log.info("model loaded", model=name, version=number, replaces=replaces, **shown)
        for note in version.notes:
            log.warning("served with a note", model=name, version=number, note=note)

    async def _drop(self, key: Key) -> None:
        name, number = key
        self._attempts.pop(key, None)
        versions = self._versions.get(name, {})
        if number in versions:
            await self._serve(name, {other: version for other, version in versions.items() if other != number})
            log.info("model removed", model=name, version=number)

    async def _serve(self, name: str, versions: dict[int, Version]) -> None:
        """Exchanges the versions of a model at once."""
        for number, version in versions.items():
            version.description.serving.is_default = number == max(versions)
        if versions:
            self._versions[name] = versions
        else:
            self._versions.pop(name, None)
        self.derived = {}
        if self._started:
            await self._show(name, bool(versions))

    def _status(self, key: Key) -> Status:
        name, number = key
        served = self._versions.get(name, {}).get(number)
        if key in self._pending:
            state, reason = State.LOADING, ""
        elif key in self._attempts:
            state, reason = State.UNAVAILABLE, self._attempts[key].failure
        else:
            state, reason = State.UNAVAILABLE, "not loaded"
        if served is None:
            return Status(name, number, state, reason)
        return Status(name, number, State.READY, reason, "; ".join(served.notes))

    def _failed(self, found: Found) -> bool:
        return bool(self._attempts[found.key].failure)

    def _check_explicit(self) -> None:
        if (mode := self._config.mode) != "explicit":
            raise NotSupported(f"models are loaded and unloaded by request with --mode explicit only; this is {mode}")

    def _check_started(self) -> None:
        if not self._started:
            raise NotReady("models are still being loaded; try again in a moment")


def _listed(names: Collection[str]) -> str:
    return f"there are: {', '.join(sorted(names)) or 'none'}"
