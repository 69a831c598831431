"""Tables of results: a part adds rows, each of which is on disk at once, so that a crash loses none."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """A table: title, headings with their units, rows, and sentences on how to read it."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Returns the table as Markdown."""
        lines = [f"**{self.title}**", "", *self.notes, *([""] if self.notes else [])]
        lines += [_line(self.columns), _line(["---"] * len(self.columns))]
        lines += [_line([show(cell) for cell in row]) for row in self.rows]
        return "\n".join(lines) + "\n"


class Results:
    """Tables of one part, in a JSON file that is written anew with every row."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tables: list[Table] = []

    def table(self, title: str, *columns: str, notes: Sequence[str] = ()) -> "Rows":
        """Adds an empty table."""
        self._tables.append(Table(title, columns, notes=list(notes)))
        self._write()
        return Rows(self._tables[-1], self._write)

    def _write(self) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps([asdict(table) for table in self._tables]), encoding="utf-8")
        draft.replace(self._path)


class Rows:
    """A table that is being filled."""

    def __init__(self, table: Table, write: Any) -> None:
        self._table, self._write = table, write

    def add(self, *cells: Cell) -> None:
        """Adds a row with a cell for each column."""
        assert len(cells) == len(self._table.columns), (cells, self._table.columns)
        self._table.rows.append(cells)
        self._write()

    def note(self, sentence: str) -> None:
        """Adds a sentence on how to read the table."""
        self._table.notes.append(sentence)
        self._write()


def read(path: Path) -> list[Table]:
    """Reads the tables that a part has written; there are none if it failed before its first row."""
    if not path.is_file():
        return []
    return [
        Table(one["title"], tuple(one["columns"]), [tuple(row) for row in one["rows"]], one["notes"])
        for one in json.loads(path.read_text(encoding="utf-8"))
    ]


def show(cell: Cell) -> str:
    """Returns a number as text, with three or more significant digits."""
    match cell:
        case None:
            return "–"
        case bool():
            return "yes" if cell else "no"
        case float() if cell == 0:
            return "0"
        case float() if abs(cell) >= 100:
            return f"{cell:,.0f}"
        case float() if abs(cell) < 0.001:
            return f"{cell:.1e}"
        case float():
            return f"{cell:.3g}"
        case int():
            return f"{cell:,}"
    return cell.replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
