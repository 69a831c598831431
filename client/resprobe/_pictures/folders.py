"""Folders with one directory of pictures for each class: which directories are classes, and which files are pictures.

Names that begin with a dot, and `__MACOSX`, are left out: file managers, notebooks and archives leave them behind. A
folder that holds nothing but parts (`train`, `val`, `test`) has its classes in them.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resprobe._pictures.formats import SUFFIXES
from resprobe.errors import DatasetError

Split = Literal["train", "test"]
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_WANTED: dict[Split, tuple[str, ...]] = {"train": ("train",), "test": ("test", "val", "train")}


@dataclass(frozen=True)
class Folder:
    """Picture files by class: `labels` index `classes`; `notes` are sentences on what was read and left out."""

    files: list[Path]
    labels: list[int]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def read(directory: Path, split: Split) -> Folder:
    """Lists the pictures of a folder.

    Args:
        directory: Folder with a directory for each class, or with nothing but parts that are such folders.
        split: "train" reads the part `train`; "test" reads `test`, or else `val`, or else `train`.

    Raises:
        DatasetError: There are fewer than two classes, a class has no pictures, or there is no part to train on.
    """
    root, notes = _part(directory, split)
    classes = sorted(path.name for path in _visible(root) if path.is_dir())
    if len(classes) < 2:
        found = f"only {classes[0]}" if classes else "none"
        raise DatasetError(f"{root} should hold one directory for each class, at least two; there is {found}")
    files: list[Path] = []
    labels: list[int] = []
    others: Counter[str] = Counter()
    for label, name in enumerate(classes):
        entries = sorted(path for path in _visible(root / name) if path.is_file())
        pictures = [path for path in entries if path.suffix.lower() in SUFFIXES]
        if not pictures:
            raise DatasetError(f"class {name} is empty: no {', '.join(sorted(SUFFIXES))} file in {root / name}")
        others.update(path.suffix or path.name for path in entries if path.suffix.lower() not in SUFFIXES)
        files += pictures
        labels += [label] * len(pictures)
    if others:
        kinds = ", ".join(sorted(others)[:5])
        notes.append(
            f"{others.total()} other files ({kinds}) in {root} were left out: not {', '.join(sorted(SUFFIXES))}"
        )
    return Folder(files, labels, tuple(classes), tuple(notes))


def _part(directory: Path, split: Split) -> tuple[Path, list[str]]:
    """Returns the directory that holds the classes, and a note if it is a part of the folder."""
    names = [path.name for path in _visible(directory) if path.is_dir()]
    parts = {_PARTS[name.casefold()]: name for name in names if name.casefold() in _PARTS}
    if not parts or (len(parts) < len(names) and not parts.keys() >= {"train", "test"}):
        return directory, []
    wanted = next((parts[name] for name in _WANTED[split] if name in parts), None)
    if wanted is None:
        raise DatasetError(f"{directory} holds {' and '.join(sorted(parts.values()))}, and no train to train on")
    return directory / wanted, [f"{wanted}/ of {directory} was read"]


def _visible(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"]
    except OSError as error:
        raise DatasetError(f"{directory} cannot be read: {error.strerror}") from error
