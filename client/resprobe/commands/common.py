"""What the subcommands share: how to reach a server, which model to ask, and where output goes."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """Shows on a terminal how far long work is; yields what is to be told how much is done, and of how much."""
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@dataclass(frozen=True)
class Connection:
    """Options of every command."""

    address: str = os.environ.get("RESPROBE_ADDRESS", "localhost:50051")
    """HOST:PORT of the server; the environment variable RESPROBE_ADDRESS changes the default."""
    json: bool = False
    """Print JSON."""

    def show(self, value: object) -> None:
        """Prints JSON."""
        print(json.dumps(value))


@dataclass(frozen=True)
class Selection(Connection):
    """Options of the commands that ask a model."""

    model: str = ""
    """Name of the model. Default: the only one that is served."""
    version: str = ""
    """Version of the model. Default: the highest."""
