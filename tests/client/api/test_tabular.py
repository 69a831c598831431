"""Results as tables of other libraries: columns of each, and one sentence where a library is absent."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
import resprobe
from resprobe._results import html
from resprobe._results.tabular import Column, Tabular

COLUMNS: dict[str, Column] = {
    "block": ["a", "b", "c"],
    "ratio": np.array([0.5, np.inf, np.nan], np.float32),
    "count": np.arange(3),
}


@dataclass(frozen=True)
class Three(Tabular):
    """Three rows."""

    columns: Mapping[str, Column]

    def _columns(self) -> Mapping[str, Column]:
        return self.columns

    def __repr__(self) -> str:
        return "<Three & more>"


def test_a_data_frame_has_the_columns() -> None:
    pytest.importorskip("pandas", reason="needs pandas")
    frame = Three(COLUMNS).to_pandas()
    assert list(frame.columns) == ["block", "ratio", "count"]
    assert frame["block"].tolist() == ["a", "b", "c"]
    assert frame["ratio"].dtype == np.float32
    np.testing.assert_array_equal(frame["ratio"], COLUMNS["ratio"])


def test_an_arrow_table_has_the_columns() -> None:
    table = Three(COLUMNS).to_arrow()
    assert table.schema.types == [pa.string(), pa.float32(), pa.int64()]
    assert table.column_names == ["block", "ratio", "count"]
    assert table["count"].to_pylist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["pandas", "pyarrow"])
def test_an_absent_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    take = {"pandas": Three(COLUMNS).to_pandas, "pyarrow": Three(COLUMNS).to_arrow}[name]
    with pytest.raises(resprobe.MissingPackage, match=f"^{name} is not installed: pip install '"):
        take()


def test_a_column_has_one_axis() -> None:
    with pytest.raises(ValueError, match=r"column 'ratio' has shape \[2, 3\]; expected one axis"):
        Three({"ratio": np.zeros((2, 3))}).to_arrow()


def test_html_escapes_everything() -> None:
    found = Three({"<b>": ["<script>alert(1)</script>", None]})._repr_html_()
    assert "&lt;b&gt;" in found
    assert "&lt;script&gt;" in found
    assert "<script" not in found
    assert "&lt;Three &amp; more&gt;" in found


def test_html_shows_the_first_rows_and_how_many_there_are() -> None:
    found = html.table({"row": np.arange(1000)})
    assert found.count("<tr>") == html.ROWS + 1
    assert "970 more rows" in found
    assert "more rows" not in html.table({"row": np.arange(html.ROWS)})
    assert "<table>" in html.table({})


def test_bars_are_as_long_as_their_numbers() -> None:
    found = html.table({**COLUMNS, "ratio": [0.5, 2.0, np.nan]}, bars="ratio")
    assert f"width:{html.BAR_WIDTH}px" in found
    assert f"width:{html.BAR_WIDTH / 4:.0f}px" in found
    assert found.count("<span") == 2
    assert "<span" not in html.table({"ratio": [0.0, 0.0]}, bars="ratio")
