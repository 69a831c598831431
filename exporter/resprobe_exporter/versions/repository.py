"""Writes version directories of the model repository: models/NAME/VERSION/, whole or not at all."""

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from resprobe import _files
from resprobe_protos.contract import DESCRIPTION

from resprobe_exporter.errors import ExporterError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DRAFT = ".draft-"


@dataclass(frozen=True)
class Draft:
    """A version that is being written.

    Attributes:
        name: Name of the model.
        version: Number of the version.
        directory: Directory of its files until it is complete; servers do not read it.
    """

    name: str
    version: int
    directory: Path

    @property
    def target(self) -> Path:
        """Directory of the version once it is complete."""
        return self.directory.parent / str(self.version)


@contextmanager
def new_version(root: Path, name: str) -> Iterator[Draft]:
    """Reserves the next version number; renames the directory into place at the end.

    If the body raises (an interrupt too), everything that was written is removed.

    Args:
        root: Model repository; created if it does not exist.
        name: Name of the model.

    Raises:
        ExporterError: The name is not usable, or the directory cannot be written.
    """
    check_name(name)
    parent = root / name
    try:
        draft, lock = _reserve(parent, name)
    except OSError as error:
        raise ExporterError(f"{parent} cannot be written: {error.strerror}") from error
    try:
        yield draft
        _files.sync(*draft.directory.iterdir(), draft.directory)
        with _locked(parent):
            draft.directory.rename(draft.target)
        _files.sync(parent)
    except BaseException as error:
        shutil.rmtree(draft.directory, ignore_errors=True)
        with suppress(OSError):  # of a model with other versions
            parent.rmdir()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ExporterError(f"{parent} cannot be written: {error.strerror}; nothing was left there") from error
        raise
    finally:
        os.close(lock)


def find_version(root: Path, name: str, version: int | None = None) -> Path:
    """Returns the directory of a version.

    Args:
        root: Model repository.
        name: Name of the model.
        version: Number of the version. If None, the highest.

    Raises:
        ExporterError: There is no such version.
    """
    check_name(name)
    parent = root / name
    numbers = _numbers(parent)
    if not numbers:
        raise ExporterError(f"{parent} has no versions")
    if version is not None and version not in numbers:
        known = ", ".join(map(str, sorted(numbers)))
        raise ExporterError(f"{parent} has no version {version}; it has {known}")
    return parent / str(max(numbers) if version is None else version)


def newest_in(directory: Path) -> Path:
    """Returns the directory of the newest version if this is that of a model, or the directory itself."""
    numbers = _numbers(directory)
    return directory / str(max(numbers)) if numbers and not (directory / DESCRIPTION).is_file() else directory


def _numbers(parent: Path) -> list[int]:
    return [int(path.name) for path in parent.iterdir() if path.name.isdecimal()] if parent.is_dir() else []


def _remove_stale(parent: Path) -> None:
    """Removes drafts that no process writes: those of exporters that were killed."""
    for draft in parent.glob(f"{_DRAFT}*"):
        with suppress(FileNotFoundError, NotADirectoryError):
            handle = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(draft)
            except BlockingIOError:
                continue
            finally:
                os.close(handle)


def check_name(name: str) -> None:
    """Raises ExporterError for a model name that is not a plain directory name."""
    if not NAME.fullmatch(name):
        raise ExporterError(f"model name {name!r}: expected letters, digits, '.', '_' and '-', not '.' or '-' first")


def check_writable(root: Path, name: str) -> None:
    """Checks, before the work, that a version of a model can be written; nothing is left behind.

    Raises:
        ExporterError: The name is not usable, or the directory cannot be written.
    """
    check_name(name)
    parent = root / name
    try:
        nearest = next(path for path in (parent, *parent.absolute().parents) if path.exists())
        with tempfile.TemporaryDirectory(prefix=".check-", dir=nearest):
            pass
    except OSError as error:
        raise ExporterError(f"{parent} cannot be written: {error.strerror}") from error


def _reserve(parent: Path, name: str) -> tuple[Draft, int]:
    """Creates the directory of a draft. Returns it with the open file whose lock shows that it is being written."""
    parent.mkdir(parents=True, exist_ok=True)
    with _locked(parent):  # until the draft is locked, no other process may remove it as a stale one
        _remove_stale(parent)
        used = (path.name.removeprefix(_DRAFT) for path in parent.iterdir() if path.is_dir())
        version = max((int(number) for number in used if number.isdecimal()), default=0) + 1
        draft = Draft(name, version, parent / f"{_DRAFT}{version}")
        draft.directory.mkdir()
        lock = os.open(draft.directory, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return draft, lock


@contextmanager
def _locked(parent: Path) -> Iterator[None]:
    """Keeps other processes from reserving or publishing a version: a list of names during a rename may lack both."""
    guard = os.open(parent, os.O_RDONLY)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield
    finally:
        os.close(guard)
