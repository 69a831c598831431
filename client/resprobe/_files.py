"""Files that client, exporter and study write: checked before the work, then written whole or not at all."""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from resprobe.errors import Error

_COUNTER = itertools.count()


def check(path: Path | None, suffixes: Sequence[str] = (), what: str = "this file") -> None:
    """Checks that a file can be written; to be called before the work.

    Args:
        path: File to write. If None, nothing is checked.
        suffixes: Suffixes of which the name must have one. If empty, it may have any.
        what: Content of the file, for the error.

    Raises:
        Error: It has another suffix, or cannot be written.
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


def write(path: Path, content: str | bytes) -> None:
    """Replaces a file, as `replacing` does.

    Raises:
        Error: It cannot be written.
    """
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a file beside `path` to write to. It gets the name `path` at the end, and is removed if the body raises.

    After a crash or a power cut there is the old or the new file, whole. A device or a pipe is written to directly.

    Raises:
        Error: The file cannot be written.
    """
    special = _is_special(path)
    target = path if special else path.resolve()  # the file behind a link, not the link
    part = path if special else _part(target)
    try:
        yield part
        if not special:
            sync(part)
            part.replace(target)
            sync(target.parent)
    except OSError as error:
        raise Error(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if not special:
            part.unlink(missing_ok=True)


def sync(*paths: Path) -> None:
    """Waits until files or directories are on the disk. Raises OSError if they cannot be."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _part(path: Path) -> Path:
    """Returns a name that no other thread or process writes to."""
    return path.with_name(f".resprobe-{os.getpid()}-{next(_COUNTER)}.part")


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()
