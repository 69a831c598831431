"""Frames: collected from a server, as tables, and in Parquet files of every format."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import resprobe
from resprobe import analysis, datasets
from resprobe._results.statistics import STATISTICS
from resprobe.analysis import Frame, arrow, summarise

from tests.support.statistics import frame

OLD = Path(__file__).parent / "statistics-0.1.parquet"  # written by `resprobe blocks --out` of version 0.1


@pytest.fixture(scope="module")
def swept(address: str) -> Frame:
    with resprobe.Client(address) as client:
        return analysis.sweep(client, datasets.load("digits").window(150, seed=2), "digits")


def test_nothing_to_send_is_refused(client: resprobe.Client) -> None:
    with pytest.raises(resprobe.InvalidRequest, match="no images were given; expected at least one"):
        analysis.sweep(client, [])


def test_every_answer_is_reported(client: resprobe.Client) -> None:
    found: list[tuple[int, int]] = []
    analysis.sweep(
        client, datasets.load("digits").window(150), "digits/1", progress=lambda *counts: found.append(counts)
    )
    assert found == [(128, 150), (150, 150)]


def test_a_frame_comes_back_from_disk_as_it_was(swept: Frame, tmp_path: Path) -> None:
    path = tmp_path / "stats.parquet"
    analysis.write(swept, path)
    again = analysis.read(path)
    assert again.model == swept.model
    assert (again.dataset, again.files) == ("digits", None)
    for name in ("index", "labels", "predicted", "probability"):
        assert np.array_equal(getattr(again, name), getattr(swept, name)), name
    for name in STATISTICS:
        assert np.array_equal(getattr(again.blocks, name), getattr(swept.blocks, name), equal_nan=True), name
    assert again.blocks.names == swept.blocks.names
    assert [one.name for one in tmp_path.iterdir()] == ["stats.parquet"]


def test_values_that_are_not_finite_and_files_without_labels_come_back(tmp_path: Path) -> None:
    one = dataclasses.replace(frame(2, 3), labels=None, files=("a.png", "b.png", "ü.png"), notes=("a note",))
    one.blocks.ratio[1, 2], one.blocks.cosine[2, 0] = np.inf, np.nan
    analysis.write(one, tmp_path / "x.parquet")
    again = analysis.read(tmp_path / "x.parquet")
    assert (again.labels, again.files, again.notes) == (None, one.files, one.notes)
    assert np.array_equal(again.blocks.ratio, one.blocks.ratio)
    assert np.array_equal(again.blocks.cosine, one.blocks.cosine, equal_nan=True)


def test_prediction_depths_come_back_and_are_a_column(tmp_path: Path) -> None:
    path, depth = tmp_path / "x.parquet", np.arange(3, dtype=np.int64) + 3
    one = dataclasses.replace(frame(2, 3), depth=depth)
    analysis.write(one, path)
    again = analysis.read(path)
    assert (again.early, again.depth is not None) == (None, True)
    assert again.to_arrow()["depth"].to_pylist() == [3, 4, 5]
    taken = again.take(np.array([2, 0])).depth
    assert taken is not None
    assert taken.tolist() == [5, 3]
    assert "depth" not in frame(2, 3).to_arrow().column_names
    table = pq.read_table(path)
    for wrong in ([3, 4, 6], [3, None, 5], [-1, 4, 5]):
        pq.write_table(table.set_column(table.column_names.index("depth"), "depth", pa.array(wrong)), path)
        with pytest.raises(resprobe.Error, match="its column depth should hold places of blocks, 0 to 5"):
            analysis.read(path)


def test_a_sweep_with_readouts_knows_depths(client: resprobe.Client) -> None:
    found = analysis.sweep(client, datasets.load("digits").window(20), "digits", readouts=True)
    assert found.depth is not None
    assert found.early is not None
    assert found.depth.tolist() == found.early.depth.tolist()


def test_columns_of_a_file_name_the_blocks(swept: Frame, tmp_path: Path) -> None:
    path = tmp_path / "stats.parquet"
    analysis.write(swept, path)
    table = pq.read_table(path)
    assert json.loads(table.schema.metadata[b"format"]) == arrow.FORMAT == 2
    assert table["ratio"][7].as_py() == dict(zip(swept.blocks.names, swept.blocks.ratio[7].tolist(), strict=True))
    assert table.flatten()["ratio.stage2.block0"].to_pylist() == swept.blocks.ratio[:, 1].tolist()


def test_files_of_version_0_1_are_read() -> None:
    raw = pq.read_table(OLD)
    assert b"format" not in raw.schema.metadata
    found = analysis.read(OLD)
    assert repr(found) == "Frame('resnet8', version='1', dataset='digits', images=12, blocks=3, accuracy=0.8333)"
    assert found.blocks.names == ["stage1.block0", "stage2.block0", "stage3.block0"]
    for name in STATISTICS:
        assert getattr(found.blocks, name).tolist() == raw[name].to_pylist(), name
    assert found.labels is not None
    assert found.labels.tolist() == raw["label"].to_pylist()
    assert found.model.blocks[0].baseline["ratio"].quantiles[0.5] > 0
    assert [f"{ratio:.3f}" for ratio in summarise(found.blocks.ratio).mean] == ["1.450", "1.388", "1.520"]
    assert len(resprobe.drift(found).names) == 3


def test_a_newer_format_is_refused_in_a_sentence(swept: Frame, tmp_path: Path) -> None:
    path, table = tmp_path / "new.parquet", arrow.to_table(swept)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"format": b"3"}), path)
    message = f"{path} has format 3, and this resprobe reads formats 1 to 2: upgrade resprobe"
    with pytest.raises(resprobe.Error, match=f"^{message}$"):
        analysis.read(path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"x": [1]}), "is not a file that `resprobe blocks --out` wrote"),
        (pa.table({"x": [1]}).replace_schema_metadata({"format": "[1]"}), "is not a file that `resprobe blocks"),
        (
            arrow.to_table(frame(1)).drop_columns(["ratio"]),
            "is not a file that `resprobe blocks --out` wrote: KeyError",
        ),
        (arrow.to_table(frame(1)).slice(0, 0), "it holds no images"),
        (None, "is not a Parquet file"),
    ],
    ids=["other columns", "other format", "a column less", "no rows", "text"],
)
def test_other_files_are_refused(tmp_path: Path, table: pa.Table | None, message: str) -> None:
    path = tmp_path / "x.parquet"
    path.write_text("text")
    if table is not None:
        pq.write_table(table, path)
    with pytest.raises(resprobe.Error, match=message):
        analysis.read(path)


def test_a_table_has_a_row_for_each_image(swept: Frame) -> None:
    table = swept.to_arrow()
    assert table.shape == (150, 5 + 6 * 3)
    assert table["ratio.stage2.block0"].to_pylist() == swept.blocks.ratio[:, 1].tolist()
    assert table["file"].null_count == 150
    html = swept._repr_html_()  # a row for each block
    assert html.count("<tr>") == 1 + 3
    assert "images=150" in html


def test_a_data_frame_has_a_row_for_each_image(swept: Frame) -> None:
    pytest.importorskip("pandas", reason="needs pandas")
    pandas = swept.to_pandas()
    assert list(pandas.columns) == swept.to_arrow().column_names
    assert (pandas["label"] == pandas["predicted"]).mean() == swept.accuracy
    assert np.array_equal(pandas["ratio.stage2.block0"], swept.blocks.ratio[:, 1])


def test_summaries_leave_out_what_is_not_finite_and_count_it() -> None:
    values = np.array([[1, 5, np.inf], [3, np.inf, np.nan], [2, 7, np.inf]], np.float32)
    found = summarise(values)
    assert found.count.tolist() == [3, 2, 0]
    assert found.mean[:2].tolist() == found.median[:2].tolist() == [2, 6]
    assert (found.low[1], found.high[1]) == pytest.approx((5.2, 6.8))
    assert np.isnan(found.mean[2])


def test_pooled_std_is_that_of_all_values_together() -> None:
    branch = np.random.default_rng(0).normal(np.arange(5)[:, None], 1, (5, 64))  # another mean for each image
    norms, ones = np.linalg.norm(branch, axis=1)[:, None], np.ones((5, 1))
    mean = branch.mean(axis=1)[:, None]
    blocks = resprobe.BlockStatistics.derive(["a"], [64], norms, ones, ones, mean)  # type: ignore[arg-type]
    assert blocks.pooled_std() == pytest.approx([branch.std()], rel=1e-5)


def test_windows_of_a_data_set_keep_their_places() -> None:
    whole = datasets.load("digits")
    part = whole.window(10, offset=100)
    assert part.index.tolist() == list(range(100, 110))
    drawn = whole.window(10, seed=1)
    assert drawn.index.tolist() == whole.window(10, seed=1).index.tolist() != whole.window(10, seed=2).index.tolist()
    assert np.array_equal(np.asarray(drawn.images), np.asarray(whole.images)[drawn.index])
    assert np.array_equal(drawn.labels, whole.labels[drawn.index])
