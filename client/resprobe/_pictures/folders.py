"""Folders with one directory of pictures for each class, as they lie about on disks: what is a class, and what is not.

Left out is what file managers, notebooks and archives leave behind: names that begin with a dot, and `__MACOSX`. A
folder that holds nothing but parts (`train`, `val`, `test`) has its classes in them.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resprobe._pictures.formats import SUFFIXES
from resprobe.errors import DatasetError

_PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_WANTED = {"train": ("train",), "test": ("test", "val", "train")}


@dataclass(frozen=True)
class Folder:
    """Picture files by class: `labels` index `classes`; `notes` are sentences on what was read and left out."""

    files: list[Path]
    labels: list[int]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def read(directory: Path, split: Literal["train", "test"]) -> Folder:
    """Lists the pictures of a folder.

    Args:
        directory: With a directory for each class, or with nothing but parts that are such folders.
        split: To train on: the part `train`. To evaluate with: `test`, or else `val`, or else `train`.

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


def _part(directory: Path, split: Literal["train", "test"]) -> tuple[Path, list[str]]:
    """Where the classes are, and a note if that is a part of the folder."""
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
