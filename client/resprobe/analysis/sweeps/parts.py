"""Directory with the answers for each part of a sweep, from which the same sweep goes on after it ended."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resprobe import _files
from resprobe._results.inspection import View
from resprobe._results.model import Model
from resprobe.analysis.sweeps.answers import Answers, Images
from resprobe.errors import Error

ABOUT = "sweep.json"


class Parts:
    """Answers on disk, one file for each part: whole files only, whatever ends the process."""

    def __init__(self, folder: Path, about: dict[str, object]) -> None:
        """Opens a directory, or makes it.

        Args:
            folder: Directory of the parts.
            about: What the sweep asks, as `describe` returns it.

        Raises:
            Error: It holds parts of another sweep, or cannot be read or written.
        """
        self._folder = folder
        try:
            folder.mkdir(exist_ok=True)
            text = (folder / ABOUT).read_text(encoding="utf-8") if (folder / ABOUT).exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise Error(f"{folder} cannot keep the parts of a sweep: {error}") from error
        if not text:
            _files.write(folder / ABOUT, json.dumps(about, indent=1))
        elif (different := _difference(text, about)) is not None:
            raise Error(
                f"{folder} holds parts of another sweep (its {different} is another): remove the directory, or choose "
                "another file to write"
            )

    def read(self, part: int) -> Answers | None:
        """Returns the answers for a part. If None, it was not yet asked for. Raises Error for a damaged file."""
        path = self._path(part)
        try:
            return Answers.from_bytes(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Error(f"{path} cannot be read, remove it: {error}") from error

    def write(self, part: int, content: bytes) -> None:
        """Keeps the answers for a part. Raises Error if they cannot be written."""
        _files.write(self._path(part), content)

    def _path(self, part: int) -> Path:
        return self._folder / f"{part:08}.npz"


def describe(images: Images, model: Model, views: Sequence[View], size: int) -> dict[str, object]:
    """Returns what tells a sweep from others: model, images and what is asked, as JSON can hold it.

    Args:
        images: All images.
        model: Description of the model.
        views: What is asked for beside classes and block statistics.
        size: Maximum images in a part.
    """
    digest = hashlib.sha256()
    if isinstance(images, np.ndarray):
        digest.update(str(images.shape).encode() + np.ascontiguousarray(images).data)
    else:
        for path in images:
            found = path.stat() if path.exists() else None  # reading it will say that it is not there
            digest.update(f"{path.absolute()}\0{found and (found.st_size, found.st_mtime_ns)}\n".encode())
    return {
        "format": 1,
        "model": model.name,
        "version": model.version,
        "description": model.digest,
        "images": digest.hexdigest(),
        "views": list(views),
        "part size": size,
    }


def _difference(text: str, about: dict[str, object]) -> str | None:
    """Returns what differs between a file and what is wanted now. If None, nothing does."""
    try:
        found = json.loads(text)
        return next((key for key in about if found.get(key) != about[key]), None)
    except (ValueError, AttributeError):
        return ABOUT
