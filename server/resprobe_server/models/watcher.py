"""Follows the repository: a change on disk reaches the table of models while the server serves.

The system's notifications make it quick; a look every `poll` seconds makes it certain, since network file systems
notify of nothing, and a repository that is replaced as a whole takes its notifications with it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
from watchfiles import Change, awatch

from resprobe_server.config import Config
from resprobe_server.models.registry import Models

STEP = 100  # milliseconds without a further change after which changes are looked at
log = structlog.get_logger()


@asynccontextmanager
async def watching(config: Config, models: Models) -> AsyncIterator[None]:
    """Keeps the table up to date while the context is open, if that is configured."""
    if config.mode != "watch":
        yield
        return
    task = asyncio.create_task(_follow(config, models))
    await asyncio.sleep(0)  # it begins to watch
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _follow(config: Config, models: Models) -> None:
    async for _ in changes(config.repository, config.poll):
        try:
            await models.refresh()
        except Exception as error:  # what is loaded goes on serving, and the next look may do better
            log.error("the repository could not be followed", repository=str(config.repository), reason=str(error))


async def changes(root: Path, poll: float) -> AsyncIterator[None]:
    """Yields whenever it is time to look at a repository.

    Args:
        root: Of the repository.
        poll: Seconds after which it is time in any case.
    """
    try:
        async for _ in _notified(root, poll):
            yield
    except OSError as error:  # for example no room for another inotify watch
        log.warning("not notified of changes", repository=str(root), reason=str(error), looked_at_every=poll)
    while True:
        await asyncio.sleep(poll)
        yield


def _notified(root: Path, poll: float) -> AsyncIterator[object]:
    base = root.resolve()

    def matters(_: Change, path: str) -> bool:
        return not any(part.startswith(".") for part in Path(path).relative_to(base).parts)

    return awatch(base, watch_filter=matters, step=STEP, rust_timeout=int(poll * 1000), yield_on_timeout=True)
