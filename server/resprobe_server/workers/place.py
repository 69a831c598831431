"""Place of a worker among those that serve the same port, and its line to the supervisor."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, eq=False)
class Place:
    """Place of a worker.

    Attributes:
        folder: Folder that only the workers of this server use: their sockets, their lock and their state.
        index: Number of the worker, from 0.
        count: Number of workers.
        loaded: Reports that the models are loaded, and returns when the worker may serve. Its argument returns the
            metrics of the worker as text.
        out_of_step: Reports the number of a worker that could not do what the others did, and the reason: it must be
            started anew.
    """

    folder: Path
    index: int
    count: int
    loaded: Callable[[Callable[[], str]], Awaitable[None]]
    out_of_step: Callable[[int, str], None]

    def address(self, index: int) -> str:
        """Returns the address that a worker listens at for the others alone."""
        return f"unix:{self.folder}/{index}"

    @property
    def others(self) -> list[int]:
        """Numbers of the other workers."""
        return [index for index in range(self.count) if index != self.index]
