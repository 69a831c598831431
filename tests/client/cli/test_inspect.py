"""`resprobe inspect`, `resprobe depth` and `resprobe blocks --with`, against a server."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import resprobe
from PIL import Image
from resprobe import datasets, plots
from resprobe.analysis.collect import sweep

from tests.support.commands import Run


@pytest.fixture
def digit(tmp_path: Path, test_images: npt.NDArray[np.uint8]) -> Path:
    path = tmp_path / "<b>digit.png"
    Image.fromarray(test_images[3, ..., 0]).save(path)
    return path


def test_a_page_about_one_image(run: Run, address: str, digit: Path, tmp_path: Path, client: resprobe.Client) -> None:
    out = tmp_path / "digit.html"
    words = ["inspect", str(digit), "--address", address, "--model", "digits", "--out", str(out)]
    code, printed, _ = run("resprobe", *words)
    assert (code, "from stage3.block0 on, every readout gives the final answer" in printed) == (0, True)
    page = out.read_text()
    assert "http-equiv" not in page
    assert 'src="http' not in page
    assert "<b>digit" not in page  # a file's name is text
    for heading in ("The answer", "When the net decides", "Where each block works", "How much each block does"):
        assert heading in page
    answer = json.loads(run("resprobe", *words, "--json")[1])
    expected = client.classify([digit], model="digits", blocks=True)
    assert answer["prediction_depth"] == "stage3.block0"
    np.testing.assert_allclose(answer["influence"], expected.blocks.influence[0], rtol=1e-3)


def test_a_picture_about_one_image(run: Run, address: str, digit: Path, tmp_path: Path) -> None:
    out = tmp_path / "digit.png"
    assert run("resprobe", "inspect", str(digit), "--address", address, "--model", "digits", "--out", str(out))[0] == 0
    with Image.open(out) as picture:
        assert picture.size > (1000, 500)
        assert len(set(np.asarray(picture.convert("RGB")).reshape(-1, 3)[:, 0].tolist())) > 50
    code, _, error = run("resprobe", "inspect", str(digit), "--address", address, "--model", "plain")
    assert (code, "model plain cannot be inspected" in error) == (1, True)
    code, _, error = run("resprobe", "inspect", str(digit), "--address", address, "--out", str(tmp_path / "a.jpg"))
    assert (code, "an inspection is written as .html or .png" in error) == (1, True)


def test_depths_of_a_data_set(run: Run, address: str, tmp_path: Path, client: resprobe.Client) -> None:
    words = ["depth", "--dataset", "digits", "--limit", "60", "--address", address, "--model", "digits"]
    code, printed, _ = run("resprobe", *words, "--plot", str(tmp_path / "depth.svg"))
    assert code == 0
    assert "stage3.block0 own" in " ".join(printed.split())
    caution = "no block before stage3.block0 has a readout, so no answer counts as decided earlier"
    assert f"note: {caution}" in " ".join(printed.split())
    assert (tmp_path / "depth.svg").stat().st_size > 5000
    answer = json.loads(run("resprobe", *words, "--json")[1])
    early = sweep(client, datasets.load("digits").head(60), "digits", readouts=True).early
    assert early is not None
    assert answer["blocks"][0]["accuracy"] == pytest.approx(answer["accuracy"])
    assert (answer["blocks"][0]["decided"], answer["mean_depth"]["right"]["value"]) == (1, 2)
    assert answer["notes"] == [caution]
    assert answer["overthinking"]["value"] == 0
    assert plots.plot_depths(early.take(np.arange(9)), client.model("digits")).axes


def test_columns_of_a_file(run: Run, address: str, tmp_path: Path) -> None:
    out = tmp_path / "stats.parquet"
    words = ["blocks", "--dataset", "digits", "--limit", "20", "--address", address, "--model", "digits"]
    assert run("resprobe", *words, "--out", str(out), "--with", "depth,influence")[0] == 0
    table, frame = pq.read_table(out), resprobe.analysis.read(out)
    assert table["depth"].to_pylist() == [2] * 20
    assert frame.depth is not None
    assert frame.depth.tolist() == [2] * 20
    influence = table["influence"].combine_chunks().field("stage2.block0").to_numpy()
    np.testing.assert_allclose(influence, frame.blocks.influence[:, 1], rtol=1e-5)
    code, _, error = run("resprobe", *words, "--with", "depth")
    assert (code, "--with adds columns to --out: give both" in error) == (1, True)
    code, _, error = run("resprobe", *words, "--out", str(out), "--with", "width")
    assert (code, "expected depth, influence, or depth,influence" in error) == (1, True)
