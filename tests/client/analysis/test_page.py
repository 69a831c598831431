"""The page: whole in itself, escaped, the same bytes for the same content."""

import re
from pathlib import Path

import numpy as np
import pytest
import resprobe
from matplotlib.figure import Figure
from resprobe.report import page

EVIL = "<script>alert('&')</script>"


def draw(height: float) -> Figure:
    """Clipped lines, so that the SVG refers to its own parts."""
    figure = Figure(figsize=(4, 2))
    axes = figure.add_subplot()
    axes.plot([0, 1, 2], [0, height, 1], marker="o")
    axes.set_xlim(0.5, 1.5)
    axes.set_title(EVIL)
    return figure


def test_all_text_is_escaped() -> None:
    thumbnail = page.picture(np.zeros((2, 3, 1), np.uint8), EVIL)
    parts = (
        EVIL,
        page.Figure(page.figure_svg(draw(1)), EVIL),
        page.Gallery([thumbnail], EVIL),
        page.Table([EVIL], [[EVIL], [thumbnail]], EVIL),
        page.Table([EVIL], [[EVIL]] * (page.FOLD + 1), EVIL),
    )
    html = page.render(EVIL, EVIL, [page.Section(EVIL, parts)] * 3, [EVIL])
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 30
    assert html.count("<img") == 6


def test_nothing_is_fetched() -> None:
    html = page.render("", "", [page.Section("", [page.Figure(page.figure_svg(draw(1)), "")])])
    addresses = set(re.findall(r"https?://[^\"' ]+", html))
    assert addresses == {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}  # names of XML, not places
    assert not re.search(r"<(link|script|iframe)|@import|src=\"(?!data:)|url\((?!#)", html)


def test_figures_do_not_share_ids_and_find_their_parts() -> None:
    one, two = page.figure_svg(draw(1)), page.figure_svg(draw(2))
    assert one == page.figure_svg(draw(1))
    first, second = ([*re.findall(r'\bid="([^"]+)"', svg)] for svg in (one, two))
    assert len(set(first)) == len(first) > 5
    assert not set(first) & set(second)
    for svg, ids in ((one, first), (two, second)):
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
        assert used
        assert used <= set(ids)


def test_long_tables_are_folded_and_many_sections_listed() -> None:
    table = page.Table(["n"], [["1"]] * (page.FOLD + 1), "many rows")
    html = page.render("", "", [page.Section(f"part {number}", [table]) for number in range(3)])
    assert html.count("<summary>many rows</summary>") == 3
    assert html.count('href="#section') == 3


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    page.write(tmp_path / "page.html", "‖F(x)‖")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "‖F(x)‖"
    with pytest.raises(resprobe.Error, match="No such file"):
        page.write(tmp_path / "nowhere" / "page.html", "")
