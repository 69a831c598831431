"""The table of models by itself, without a server and without a watcher."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from resprobe_server.config import Config
from resprobe_server.models.registry import Models
from resprobe_server.scheduling.worker import Device


class Health:
    """Health of the models, as the table reports it."""

    def __init__(self) -> None:
        self.serving: dict[str, bool] = {}

    async def show(self, name: str, serving: bool) -> None:
        self.serving[name] = serving


@asynccontextmanager
async def table(root: Path, device: Device | None = None, **options: Any) -> AsyncIterator[tuple[Models, Health]]:
    """The table, without a server and without a watcher; with a device of its own unless one that runs is given."""
    health = Health()
    async with AsyncExitStack() as stack:
        if device is None:
            device = await stack.enter_async_context(Device())
        models = Models(Config(root, max_batch=4, threads=1, **options), device, health.show)
        await models.start()
        yield models, health
