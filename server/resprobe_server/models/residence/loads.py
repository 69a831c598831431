"""Loads that requests wait for: one for each model, whatever the number of requests."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from resprobe_server.errors import Expired
from resprobe_server.models.table import Table
from resprobe_server.scheduling.budget import Budget

RETRY = 1.0  # seconds after which a request that found no room to wait may try again


class Loads:
    """Loads under way. Lives on the event loop.

    A load goes on if requests leave, for others may arrive; one that has not begun when the last leaves is not begun.
    """

    def __init__(self, load: Callable[[str], Awaitable[Table]], budget: Budget) -> None:
        """Creates loads.

        Args:
            load: Loads a model, and returns a table with it alone.
            budget: Bytes that may wait.
        """
        self._load, self._budget = load, budget
        self._running: dict[str, asyncio.Task[Table]] = {}
        self._waiting: Counter[str] = Counter()

    def is_wanted(self, name: str) -> bool:
        """Returns whether a request waits for a model."""
        return self._waiting[name] > 0

    async def wait(self, name: str, deadline: float, size: int) -> Table:
        """Waits until a model was loaded, together with all others that wait for it.

        Args:
            name: Name of the model.
            deadline: Deadline on the clock of time.monotonic.
            size: Bytes of the request that waits.

        Returns:
            A table with the model alone. Its versions are in memory for as long as it is used.

        Raises:
            QueueFull: Too many bytes wait.
            Expired: The deadline has passed; the load goes on.
            RequestError: The model could not be loaded.
        """
        with self._budget.holding(size, RETRY):
            task = self._running.get(name)
            if task is None:
                task = self._running[name] = asyncio.create_task(self._run(name))
                task.add_done_callback(_retrieve)
            self._waiting[name] += 1
            try:
                left = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
                return await asyncio.wait_for(asyncio.shield(task), left)
            except TimeoutError as error:
                raise Expired(f"the deadline passed while model {name} was being loaded") from error
            finally:
                self._waiting[name] -= 1

    def close(self) -> None:
        """Cancels all loads."""
        for task in self._running.values():
            task.cancel()

    async def _run(self, name: str) -> Table:
        try:
            return await self._load(name)
        finally:
            del self._running[name]


def _retrieve(task: "asyncio.Task[Table]") -> None:
    if not task.cancelled():
        task.exception()  # each request has raised it; there may be none any more
