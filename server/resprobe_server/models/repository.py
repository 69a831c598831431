"""The model repository on disk: NAME/VERSION/ with model.onnx, the graphs made from it, and model.json."""

from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from resprobe_protos.contract import LEAN

from resprobe_server.config import Config
from resprobe_server.errors import StartError
from resprobe_server.validation.triton_config import CONFIG

ALL = "*"  # --load: every model
LONGEST_NUMBER = 18  # digits of a version: 64 bits
Key: TypeAlias = tuple[str, int]
Stamp: TypeAlias = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class Found:
    """Version directory that was found.

    Attributes:
        name: Name of the model.
        number: Number of the version.
        directory: Path of the directory.
        stamp: Name, inode, size and time of modification of every file, and of the model's config.pbtxt: another stamp
            means other content.
    """

    name: str
    number: int
    directory: Path
    stamp: Stamp

    @property
    def key(self) -> Key:
        """Name and number."""
        return self.name, self.number


def scan(root: Path) -> list[Found]:
    """Finds every version in a repository, by name and number; all else is passed over.

    Hidden names are passed over too: versions and files are written under one before they are renamed into place.

    Raises:
        OSError: The repository cannot be read, which does not mean that its models were removed.
    """
    models = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    return [found for model in models for found in _versions(model)]


def scan_model(root: Path, name: str) -> list[Found]:
    """Finds every version of a model in a repository, by number; none if there is no such model."""
    return list(_versions(root / name))


def wanted(config: Config, found: Set[str]) -> Set[str]:
    """Returns the names of the models to load at the start.

    Args:
        config: Configuration of the server.
        found: Names of the models in the repository.

    Raises:
        StartError: The repository holds no model, or not one that the configuration names.
    """
    load = set(config.load)
    if config.mode != "explicit":
        if load:
            raise StartError(f"--load needs --mode explicit; --mode {config.mode} loads all models")
        if not found:
            raise StartError(f"{config.repository} holds no NAME/VERSION/{LEAN}; `exporter build` writes one")
        return found
    if ALL in load:
        return found
    if missing := load - found:
        names = ", ".join(sorted(found)) or "none"
        raise StartError(f"--load {min(missing)}: {config.repository} has no such model; there are: {names}")
    return load


def passed_over(root: Path) -> Iterator[tuple[Path, str]]:
    """Finds directories that are not models or versions although they stand in their place, each with the reason.

    Hidden ones are left out.
    """
    for model in _directories(root):
        numbered = [path for path in _directories(model) if is_number(path.name)]
        for path in _directories(model):
            if path not in numbered:
                yield (
                    path,
                    f"its name is not the number of a version: 1, 2 and so on, of at most {LONGEST_NUMBER} digits",
                )
            elif not (path / LEAN).exists():
                yield path, f"it holds no {LEAN}"
        if not numbered:
            yield model, f"it holds no VERSION/{LEAN}"


def is_number(text: str) -> bool:
    """Returns whether a text is the number of a version: 1, but neither 01 nor a thousand digits."""
    return len(text) <= LONGEST_NUMBER and text.isascii() and text.isdecimal() and str(int(text)) == text


def _versions(model: Path) -> Iterator[Found]:
    # A directory that is removed meanwhile is not a version; nor is one that cannot be read, such as lost+found.
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        numbered = sorted((int(path.name), path) for path in model.iterdir() if is_number(path.name))
        config = _stamp([model / CONFIG] if (model / CONFIG).is_file() else [])
        for number, directory in numbered:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                stamp = _stamp(sorted(path for path in directory.iterdir() if not path.name.startswith(".")))
                if any(name == LEAN for name, *_ in stamp):
                    yield Found(model.name, number, directory, stamp + config)


def _directories(parent: Path) -> list[Path]:
    """Returns the directories in a directory, by name; none if it cannot be read."""
    with suppress(OSError):
        return sorted(path for path in parent.iterdir() if not path.name.startswith(".") and path.is_dir())
    return []


def _stamp(files: Sequence[Path]) -> Stamp:
    states = [(path.name, path.stat()) for path in files]
    return tuple((name, state.st_ino, state.st_size, state.st_mtime_ns) for name, state in states)
