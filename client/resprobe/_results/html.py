"""HTML fragments for notebooks: tables, with bars where lengths say more than digits. All text is escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

ROWS = 30  # rows of a table that are shown
CELL = "padding:2px 8px;text-align:{align}"
BAR = "display:inline-block;height:0.8em;width:{width:.0f}px;background:#4477aa"
BAR_WIDTH = 160  # pixels of the longest bar


def table(
    columns: Mapping[str, Sequence[Any] | np.ndarray], caption: str = "", bars: str = "", rows: int = ROWS
) -> str:
    """Returns a table as HTML: the first rows, and a line that says how many there are if that is not all.

    Args:
        columns: Columns by name, all of one length.
        caption: Text above the table.
        bars: Name of the column of numbers that is also drawn as bars. If empty, none is.
        rows: Maximum rows to show.
    """
    count = len(next(iter(columns.values()), ()))
    longest = _longest(columns[bars]) if bars else 0.0
    head = "".join(f'<th style="{CELL.format(align="left")}">{escape(name)}</th>' for name in columns)
    body = ""
    for row in range(min(count, rows)):
        cells = [_cell(values[row], longest if name == bars else 0.0) for name, values in columns.items()]
        body += f"<tr>{''.join(cells)}</tr>"
    more = f"<p>… {count - rows:,} more rows</p>" if count > rows else ""
    title = f"<p>{escape(caption)}</p>" if caption else ""
    return f"<div>{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"


def _cell(value: object, longest: float) -> str:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    bar = ""
    if longest and isinstance(value, float | np.floating) and np.isfinite(value):
        bar = f' <span style="{BAR.format(width=BAR_WIDTH * max(float(value), 0) / longest)}"></span>'
    return f'<td style="{CELL.format(align="left" if bar or not number else "right")}">{escape(text(value))}{bar}</td>'


def text(value: object) -> str:
    """Returns a value as a cell shows it: numbers with at most 4 significant digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _longest(values: Sequence[Any] | np.ndarray) -> float:
    numbers = np.asarray(values, np.float64)
    finite = numbers[np.isfinite(numbers)]
    return float(finite.max(initial=0.0))
