"""Files that commands write: looked at before the work, and there as a whole or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from resprobe.errors import Error


def check(path: Path | None, suffixes: Sequence[str] = (), what: str = "this file") -> None:
    """Checks that a file can be written there; to be called before the images are sent.

    Args:
        path: To write; None is right too.
        suffixes: The name must end in one of these, if there are any.
        what: What is to be written, for the error.

    Raises:
        Error: It ends in something else, or cannot be written.
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
    """Yields a file to write beside `path`, which takes its name when all is written and is removed otherwise.

    A device or a pipe is written to as it is.

    Raises:
        Error: It cannot be written.
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
