"""How changes of a repository are noticed."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from resprobe_server.models.watcher import changes


async def until_changed(root: Path, poll: float, touch: Callable[[], object]) -> None:
    """Changes files until a change is noticed."""
    watcher = changes(root, poll)
    noticed = asyncio.ensure_future(anext(watcher))
    while not noticed.done():
        touch()
        await asyncio.sleep(0)
    await noticed
    await watcher.aclose()  # type: ignore[attr-defined]


def test_the_system_notifies_of_changes(root: Path) -> None:
    asyncio.run(asyncio.wait_for(until_changed(root, 3600, lambda: os.utime(root / "digits" / "1" / "model.json")), 30))


def test_hidden_changes_are_not_noticed_but_by_looking(root: Path) -> None:
    async def drive() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(until_changed(root, 3600, (root / ".draft-1").touch), 0.5)
        await asyncio.wait_for(until_changed(root, 0.05, lambda: None), 30)

    asyncio.run(drive())


def test_where_nothing_can_be_watched_it_is_looked_at(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(until_changed(tmp_path / "not there", 0.01, lambda: None), 30))
