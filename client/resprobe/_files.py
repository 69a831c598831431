"""Writes files: checked before the work, and written whole or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from resprobe.errors import Error


def check(path: Path | None, suffixes: Sequence[str] = (), what: str = "this file") -> None:
    """Checks that a file can be written, before the work whose result it will hold.

    Args:
        path: File to write. If None, there is nothing to check.
        suffixes: Allowed ends of its name. If empty, all are.
        what: Content of the file, for the error.

    Raises:
        Error: The file has another suffix, or cannot be written.
    """
    if path is None:
        return
    if suffixes and path.suffix.lower() not in suffixes:
        raise Error(f"{path}: {what} is written as {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise Error(f"{path} cannot be written: {path.parent} is not a directory")
    if path.is_dir():
        raise Error(f"{path} cannot be written: it is a directory")
    try:
        path.exists()  # raises for a name that is too long
        if _is_special(path):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        else:
            part = _part(path.resolve())
            part.touch()
            part.unlink()
    except OSError as error:
        raise Error(f"{path} cannot be written: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a file to write beside `path`: it is renamed to `path` when all is written, and removed otherwise.

    If `path` is a device or a pipe, it is yielded itself.

    Raises:
        Error: The file cannot be written.
    """
    special = _is_special(path)
    target = path if special else path.resolve()  # the file behind a link, not the link
    part = path if special else _part(target)
    try:
        yield part
        if not special:
            part.replace(target)
    except OSError as error:
        raise Error(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if not special:
            part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".resprobe-{os.getpid()}.part")


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()
