"""Models that leave memory: they answer what they have accepted, and then their memory returns to the system."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from resprobe_server.memory import give_back
from resprobe_server.models.table import Table
from resprobe_server.models.version import Version

LONGEST = 30.0  # seconds that a model that makes room may need to answer what it has accepted
log = structlog.get_logger()


class Departures:
    """Versions that leave. Lives on the event loop."""

    def __init__(self, table: Table, call: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        """Creates departures from a table; `call` calls a function on the thread that loads."""
        self._table, self._call = table, call
        self._under_way: set[asyncio.Task[None]] = set()

    async def unload(self, name: str) -> None:
        """Takes a model out of memory, but not out of the table, and waits until its memory is free."""
        end = self.see_off(self._table.versions(name))
        stay = {number: version.unloaded() for number, version in self._table.versions(name).items()}
        self._table.replace(name, stay)
        log.info("model unloaded to make room", model=name)
        done, _ = await asyncio.wait({end}, timeout=LONGEST)
        if not done:
            log.warning("a model that was unloaded is still used", model=name, seconds=LONGEST)

    def see_off(self, versions: Mapping[int, Version]) -> "asyncio.Task[None]":
        """Returns the memory of versions to the system as soon as they were freed, after their last request."""
        end = asyncio.create_task(self._give_back(freed(versions)))
        self._under_way.add(end)
        end.add_done_callback(self._under_way.discard)
        return end

    def close(self) -> None:
        """Waits for no more versions."""
        for end in self._under_way:
            end.cancel()

    async def _give_back(self, end: "asyncio.Future[None]") -> None:
        await end
        await self._call(give_back)


def freed(versions: Mapping[int, Version]) -> "asyncio.Future[None]":
    """Returns a future that is done when the graphs of versions were freed."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    batchers = {id(batcher): batcher for version in versions.values() for batcher in version.batchers.values()}
    left = len(batchers)

    def one_less() -> None:
        nonlocal left
        left -= 1
        if left <= 0 and not done.done():
            done.set_result(None)

    def tell() -> None:
        with suppress(RuntimeError):  # the loop has ended, and nothing waits any more
            loop.call_soon_threadsafe(one_less)

    for batcher in batchers.values():
        weakref.finalize(batcher, tell).atexit = False
    if not batchers:
        one_less()
    return done
