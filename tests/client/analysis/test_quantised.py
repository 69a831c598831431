"""A quantised model where users see it: descriptions, results, metrics, comparisons and reports."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import resprobe
from resprobe import analysis, datasets
from resprobe.analysis import Frame
from resprobe.analysis.noise import noise_between, noise_of
from resprobe.report import report

from tests.support.commands import Run
from tests.support.servers import Serve


@pytest.fixture(scope="module")
def served(quantised: Path, start: Serve) -> Iterator[str]:
    with start(quantised, max_batch=8) as address:
        yield address


@pytest.fixture(scope="module")
def frames(served: str) -> list[Frame]:
    """Results of the float32 and of the int8 model on the same images."""
    images = datasets.load("digits").head(40)
    with resprobe.Client(served) as client:
        return [analysis.sweep(client, images, name) for name in ("digits", "digits-int8")]


def test_descriptions_and_results_name_the_precision(served: str, test_images: np.ndarray) -> None:
    with resprobe.Client(served) as client:
        models = {model.name: model for model in client.models()}
        assert {name: model.precision for name, model in models.items()} == {"digits": "float32", "digits-int8": "int8"}
        made_of = models["digits-int8"].quantization
        assert made_of is not None
        assert (made_of.source, made_of.dataset, made_of.float_blocks) == ("digits/1", "digits", ())
        assert made_of.accuracy_before == models["digits"].accuracy
        assert made_of.accuracy_after == models["digits-int8"].accuracy
        assert models["digits"].quantization is None
        assert client.classify(test_images[:2], model="digits").precision == "float32"
        assert client.classify(test_images[:2], model="digits-int8", blocks=True).precision == "int8"
        assert {one.precision for one in client.stream([test_images[:2]], model="digits-int8")} == {"int8"}


def test_the_command_lists_precisions(served: str, run: Run) -> None:
    assert " int8 " in run("resprobe", "models", "--address", served)[1]
    listed = json.loads(run("resprobe", "models", "--address", served, "--json")[1])
    assert [(one["precision"], one["quantised_from"]) for one in listed] == [("float32", None), ("int8", "digits/1")]


def test_noise_is_that_of_the_description(frames: list[Frame]) -> None:
    plain, quantised = (frame.model for frame in frames)
    for pair in ((plain, quantised), (quantised, plain)):
        found = noise_between(*pair)
        assert found is not None
        assert found.to_arrow().column_names == ["block", "branch", "sum", "ratio_before", "ratio_after"]
        assert [row[1] for row in found.rows()] == [block.noise["test"].branch for block in quantised.blocks]
    assert noise_between(plain, plain) is None
    assert noise_between(quantised, quantised) is None
    assert noise_of(plain) is None
    assert repr(noise_of(quantised)) == "NoiseOfBlocks('digits-int8/1', over='test', blocks=3)"


def test_a_comparison_has_the_noise_if_one_was_made_of_the_other(frames: list[Frame]) -> None:
    compared = resprobe.compare(*frames)
    assert compared.noise is not None
    assert compared.agreement > 0.9
    name = max(compared.noise.rows(), key=lambda row: row[1])[0]
    text = " ".join(compared.sentences())
    assert "digits-int8 version 1 is in int8, made of digits version 1. " in text
    assert f"its noisiest branch is that of {name}" in text
    assert resprobe.compare(frames[0], frames[0]).noise is None


def test_the_command_shows_noise_in_table_json_and_page(served: str, run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ["compare", "digits", "digits-int8", "--dataset", "digits", "--limit", "20", "--address", served]
    code, out, error = run("resprobe", *words, "--out", str(page))
    assert code == 0, error
    assert "of F+s" in out
    assert "Noise of quantisation" in page.read_text()
    found = json.loads(run("resprobe", *words, "--json")[1])
    assert [model["precision"] for model in found["models"]] == ["float32", "int8"]
    assert (found["noise"]["model"], found["noise"]["images"]) == ("digits-int8", "test")
    assert all(0 < block["branch"] < 0.2 for block in found["noise"]["blocks"])
    words[2] = "digits"
    assert json.loads(run("resprobe", *words, "--json")[1])["noise"] is None


def test_a_report_shows_precision_and_noise_and_a_file_keeps_them(frames: list[Frame], tmp_path: Path) -> None:
    analysis.write(frames[1], tmp_path / "int8.parquet")
    again = analysis.read(tmp_path / "int8.parquet")
    assert again.model == frames[1].model
    html = report(again)
    assert "3 residual blocks in int8." in html
    assert "Noise of quantisation" in html
    assert "Noise of quantisation" not in report(frames[0])
