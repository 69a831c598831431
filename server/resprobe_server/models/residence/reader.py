"""Loads versions on a thread of its own, measures and checks them, and knows what became of each attempt."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog

from resprobe_server.config import Config
from resprobe_server.models import succession
from resprobe_server.models.loader import Loader
from resprobe_server.models.repository import Found, Key
from resprobe_server.models.residence.residents import Residents, measured
from resprobe_server.models.states import Attempt, LoadCounts
from resprobe_server.models.version import Version
from resprobe_server.scheduling.worker import Device

Result = TypeVar("Result")
log = structlog.get_logger()


class Reader:
    """Reads versions from disk. Lives on the event loop.

    Attributes:
        attempts: Last attempt to load each version.
        pending: Versions that are about to be loaded.
        counts: Counts of loads since the start.
    """

    def __init__(self, config: Config, residents: Residents) -> None:
        """Creates a reader that can load nothing before `start`.

        Args:
            config: Configuration of the server.
            residents: Models in memory, which get the sizes of the versions that were loaded.
        """
        self._config, self._table, self._residents = config, residents.table, residents
        self._loader: Loader
        # One thread: what the C library got for one model is used again for the next.
        self._thread = ThreadPoolExecutor(1, "load")
        self.attempts: dict[Key, Attempt] = {}
        self.pending: set[Key] = set()
        self.counts = LoadCounts()

    async def start(self, device: Device) -> None:
        """Chooses how graphs are run. Raises StartError if the device cannot be used."""
        self._loader = await self.call(partial(Loader, self._config, device))

    async def call(self, work: Callable[[], Result]) -> Result:
        """Calls a slow function on the thread, after those before it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def read(self, found: Found) -> Version | None:
        """Loads a version and checks whether it may be served. If None, it may not, and `attempts` says why."""
        name, number = found.key
        replaces, begin = number in self._table.versions(name), time.monotonic()
        try:
            version, size = await self.call(lambda: measured(lambda: self._loader.load(found)))
            if not self._config.allow_incompatible:
                succession.check(version, self._table.versions(name))
        except succession.Incompatible as error:
            self.counts.incompatible[name] += 1
            self.attempts[found.key] = Attempt(found.stamp, str(error), refused=True)
            log.error("version of another kind refused", model=name, version=number, reason=str(error))
            return None
        except Exception as error:  # files made elsewhere can fail in any way; the other versions must serve
            self.counts.failed[name] += 1
            self.attempts[found.key] = Attempt(found.stamp, str(error))
            log.error("model failed to load", model=name, version=number, reason=str(error), old_serves=replaces)
            return None
        finally:
            self.pending.discard(found.key)
        self.counts.loaded[name] += 1
        self.counts.seconds[name] += time.monotonic() - begin
        self.attempts[found.key] = Attempt(found.stamp)
        self._residents.loaded(found.key, max(size, sum(file[2] for file in found.stamp)))
        shown = {"blocks": len(version.description.blocks), "provider": version.description.serving.provider}
        log.info("model loaded", model=name, version=number, replaces=replaces, **shown)
        for note in version.notes:
            log.warning("served with a note", model=name, version=number, note=note)
        return version

    def failed(self, found: Sequence[Found]) -> str:
        """Returns which of these versions failed to load, and why; empty if none did."""
        return "; ".join(
            f"version {one.number}: {failure}" for one in found if (failure := self.attempts[one.key].failure)
        )

    def close(self) -> None:
        """Begins no more loads."""
        self._thread.shutdown(wait=False, cancel_futures=True)
