"""Watches the repository: the table of models follows changes on disk while the server runs.

The system's notifications make it quick; a scan every `poll` seconds makes it certain, since network file systems send
no notifications, and neither does a repository that was replaced as a whole.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
from watchfiles import Change, awatch

from resprobe_server.config import Config
from resprobe_server.models.registry import Models

STEP = 100  # milliseconds without a further change after which changes are reported
log = structlog.get_logger()


@asynccontextmanager
async def watching(config: Config, models: Models) -> AsyncIterator[None]:
    """Keeps the table up to date while the context is open, if that is configured."""
    if config.mode != "watch":
        yield
        return
    task = asyncio.create_task(_follow(config, models))
    await asyncio.sleep(0)  # lets the task begin to watch
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
        except Exception as error:  # loaded models go on serving, and the next scan may succeed
            log.error("the repository could not be followed", repository=str(config.repository), reason=str(error))


async def changes(root: Path, poll: float) -> AsyncIterator[None]:
    """Yields whenever it is time to scan a repository.

    Args:
        root: Directory of the repository.
        poll: Maximum seconds between scans.
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
