"""Writes figures to files, as SVG or PNG."""

from os import PathLike
from pathlib import Path

from matplotlib.figure import Figure

from resprobe import _files

SUFFIXES = (".svg", ".png")


def check_path(path: str | PathLike[str] | None) -> None:
    """Checks that a figure can be written to a path, before the images are sent. If None, nothing is checked.

    Raises:
        Error: The path does not end in .svg or .png, or cannot be written.
    """
    _files.check(None if path is None else Path(path), SUFFIXES, "a plot")


def save(figure: Figure, path: str | PathLike[str]) -> None:
    """Writes a figure to a file that ends in .svg or .png; the file is replaced as a whole.

    Raises:
        Error: The path does not end in .svg or .png, or cannot be written.
    """
    path = Path(path)
    check_path(path)
    with _files.replacing(path) as part:
        figure.savefig(part, dpi=150, format=path.suffix[1:].lower())
