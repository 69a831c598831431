"""Values that are read again when their files change: certificates and tokens are renewed without a restart."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from resprobe_server.errors import StartError

Value = TypeVar("Value")
log = structlog.get_logger()


class Reread(Generic[Value]):
    """A value read from files. Each use costs one `stat` for each file."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], Value]) -> None:
        """Reads the value.

        Args:
            paths: Files that it is read from.
            read: Reads the value; raises StartError if that fails.

        Raises:
            StartError: From `read`.
        """
        self._paths, self._read = paths, read
        self._seen = self._look()
        self._value = read()

    def current(self) -> Value:
        """Returns the value; if the files have changed and cannot be read, the value that was read last."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            files = [str(path) for path in self._paths]
            try:
                self._value = self._read()
                log.info("files read again", files=files)
            except StartError as error:
                log.error("changed files cannot be used; what was read before stays", files=files, reason=str(error))
        return self._value

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_identity(path) for path in self._paths]


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Returns what changes when a file is written or replaced, also behind a symbolic link. If None, it is missing."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
