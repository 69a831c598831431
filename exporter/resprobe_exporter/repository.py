"""Writes version directories of the model repository: models/NAME/VERSION/, whole or not at all."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from resprobe_exporter.errors import ExporterError

LEAN, PROBE, LESION, LESION_PROBE = "model.onnx", "probe.onnx", "lesion.onnx", "lesion_probe.onnx"
WEIGHTS, DESCRIPTION = "weights.bin", "model.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DRAFT = ".draft-"


@dataclass(frozen=True)
class Draft:
    """A version being written. `directory` is where its files go for now; servers do not look there."""

    name: str
    version: int
    directory: Path

    @property
    def target(self) -> Path:
        """Where the version will be once it is whole."""
        return self.directory.parent / str(self.version)


@contextmanager
def new_version(root: Path, name: str) -> Iterator[Draft]:
    """Reserves the next version number; renames the directory into place at the end.

    If the body raises (an interrupt too), everything written is removed.

    Args:
        root: The repository; made if it does not exist.
        name: Of the model.

    Raises:
        ExporterError: The name is not usable, or the directory cannot be written.
    """
    check_name(name)
    parent = root / name
    try:
        draft = _reserve(parent, name)
    except OSError as error:
        raise ExporterError(f"{parent} cannot be written: {error.strerror}") from error
    try:
        yield draft
        draft.directory.rename(draft.target)
    except BaseException:
        shutil.rmtree(draft.directory, ignore_errors=True)
        with suppress(OSError):  # there are other versions
            parent.rmdir()
        raise


def check_name(name: str) -> None:
    """Raises ExporterError for a model name that is no plain directory name."""
    if not NAME.fullmatch(name):
        raise ExporterError(f"model name {name!r}: expected letters, digits, '.', '_' and '-', not '.' or '-' first")


def _reserve(parent: Path, name: str) -> Draft:
    parent.mkdir(parents=True, exist_ok=True)
    taken = (path.name.removeprefix(_DRAFT) for path in parent.iterdir() if path.is_dir())
    version = max((int(number) for number in taken if number.isdecimal()), default=0)
    while True:  # another process may take the number meanwhile; mkdir decides
        version += 1
        draft = Draft(name, version, parent / f"{_DRAFT}{version}")
        try:
            draft.directory.mkdir()
        except FileExistsError:
            continue
        if not draft.target.exists():  # it does if the other has already finished
            return draft
        draft.directory.rmdir()
