"""A self-contained HTML page: sections of text, tables, SVG figures and thumbnails; it fetches nothing.

All text is escaped, except what `markupsafe.Markup` marks as HTML. Needs jinja2 and matplotlib.
"""

import base64
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.figure import Figure as Drawing
from PIL import Image

from resprobe import _files

FOLD = 30  # rows; a longer table is folded until a reader opens it
# Text stays text: it can be selected, searched and read aloud. matplotlib lays it out with its own wide font, so the
# page's font fits too. Without the names of programs and the date, the same figure is the same bytes.
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "resprobe"}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Figure:
    """A figure from `figure_svg`, with a caption: quantities, units, number of images."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Thumbnails from `picture`, in a row that wraps."""

    pictures: Sequence[str]
    caption: str


@dataclass(frozen=True)
class Table:
    """A table whose cells are text, or Markup from `picture`.

    Attributes:
        columns: Headings.
        rows: Cells of each row.
        caption: What the table shows.
        left: Number of columns of words, from the left; the others are numbers.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    left: int = 1

    @property
    def folded(self) -> bool:
        """Whether only its caption shows until a reader opens it."""
        return len(self.rows) > FOLD


@dataclass(frozen=True)
class Section:
    """A heading and the parts below it; a `str` is a paragraph."""

    heading: str
    parts: Sequence[str | Figure | Gallery | Table]


def render(title: str, lead: str, sections: Sequence[Section], notes: Sequence[str] = ()) -> str:
    """Returns the page as HTML text.

    Args:
        title: Title of the page.
        lead: One or two sentences below the title: what was done, with what.
        sections: Sections in reading order; more than two are listed at the top.
        notes: Paragraphs at the end, for example definitions.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(title=title, lead=lead, sections=sections, notes=notes)


def write(path: Path, html: str) -> None:
    """Writes a page. Raises Error if it cannot be written."""
    _files.write(path, html)


def figure_svg(figure: Drawing) -> Markup:
    """Converts a matplotlib figure to SVG for a page.

    The same figure gives the same text, and two different figures share no id.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]  # without the XML declaration and the document type
    prefix = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'\b(id="|href="#)|(url\(#)', lambda match: f"{match[0]}f{prefix}-", svg)
    return Markup(svg)  # matplotlib escapes text


def picture(pixels: npt.NDArray[np.uint8], caption: str) -> Markup:
    """Returns a thumbnail with a few words below it.

    Args:
        pixels: Image, [height, width, 1 or 3].
        caption: Words below it; newlines separate lines.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    lines = Markup("<br>").join(caption.split("\n"))
    return Markup('<span class="picture"><img alt="" src="data:image/png;base64,{}">{}</span>').format(data, lines)
