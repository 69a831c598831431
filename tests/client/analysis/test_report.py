"""Reports: unusual images, the page of a frame, and the command."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import resprobe
from resprobe import analysis, datasets
from resprobe.analysis import Frame
from resprobe.analysis.outliers import scores
from resprobe.report import report
from resprobe.report.sections import relative_difference
from scipy import stats

from tests.support.commands import Run
from tests.support.statistics import frame

EVIL = "<script>alert('&')</script>"


@pytest.fixture(scope="module")
def swept(address: str) -> Frame:
    with resprobe.Client(address) as client:
        return analysis.sweep(client, datasets.load("digits").window(150, seed=2), "digits")


def test_the_most_unusual_image_has_the_highest_score() -> None:
    ratio = np.full((20, 3), 0.5, np.float32)
    ratio[:, :2] *= np.random.default_rng(0).uniform(0.9, 1.1, (20, 2))
    ratio[4, 0], ratio[5, 1] = 5, np.inf
    found = scores(ratio)
    assert found[:, :2].argmax(axis=0).tolist() == [4, 5]
    assert not found[:, 2].any()


def test_the_page_shows_real_images_and_says_everything(swept: Frame) -> None:
    html = report(swept, datasets.load("digits"))
    for heading in (
        "Ratio by block",
        "Ratio by class",
        "Right against wrong",
        "Unusual images",
        "Cosine",
        "closed form",
    ):
        assert heading in html
    assert f"150 images of digits, 3 residual blocks in float32. Accuracy {swept.accuracy:.4f}." in html
    assert html.count("data:image/png") == 12 + 3 * 4 + 2  # and the map of classes with its scale
    assert "http" not in html.replace("http://www.w3.org/", "")
    assert html == report(swept, datasets.load("digits"))
    assert "image 1" in report(swept)  # without the data set


@pytest.mark.parametrize("per_stage", [1, 200])
def test_any_number_of_blocks_and_hostile_names(per_stage: int) -> None:
    one = frame(per_stage)
    evil = dataclasses.replace(one, model=dataclasses.replace(one.model, name=EVIL, classes=(EVIL, "b")), dataset=EVIL)
    evil.blocks.ratio[3, 1] = np.inf
    evil.blocks.ratio[4, 1] = np.nan
    html = report(evil)
    assert "<script" not in html
    assert "2 of 40 images have a shortcut of zero in at least one of 1 blocks" in html


def test_without_labels_the_predicted_class_counts() -> None:
    html = report(dataclasses.replace(frame(1), labels=None))
    assert "Ratio by predicted class" in html
    assert "Right against wrong" not in html


def test_images_of_another_data_set_are_refused(swept: Frame) -> None:
    with pytest.raises(
        resprobe.DatasetError,
        match="data set digits does not hold the images of the report: expected the 150 images of digits",
    ):
        report(swept, datasets.load("digits", split="train"))


def test_the_command(run: Run, swept: Frame, tmp_path: Path) -> None:
    stats, out = tmp_path / "stats.parquet", tmp_path / "report.html"
    analysis.write(swept, stats)
    code, text, _ = run("resprobe", "report", str(stats), "--out", str(out), "--dataset", "digits")
    assert code == 0
    assert "digits on 150 images of digits" in text
    assert out.read_text().startswith("<!doctype html>")
    code, _, error = run("resprobe", "report", str(stats), "--out", str(tmp_path / "nowhere" / "x.html"))
    assert (code, "is not a directory" in error) == (1, True)


def test_relative_differences_have_welchs_interval_with_students_t() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(3, 1, (4, 1)).astype(np.float32), generator.normal(2, 2, (9, 1)).astype(np.float32)
    difference, margin = relative_difference(a, b)
    assert difference[0] == pytest.approx(a.mean() / b.mean() - 1, rel=1e-5)
    variances = a.var(ddof=1) / 4, b.var(ddof=1) / 9
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 3 + variances[1] ** 2 / 8)
    error = np.sqrt(sum(variances))
    assert margin[0] == pytest.approx(stats.t.ppf(0.975, freedom) * error / b.mean(), rel=1e-4)
    assert margin[0] > 2.1 * error / b.mean()  # 1.96 would be too narrow for so few images


def test_relative_differences_leave_out_what_is_not_finite() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(3, 1, (9, 3)).astype(np.float32), generator.normal(2, 1, (8, 3)).astype(np.float32)
    expected = relative_difference(a[2:, :1], b[1:, :1])
    a[0, 0], a[1, 0], b[0, 0] = np.inf, np.nan, np.inf
    a[1:, 2] = np.nan
    difference, margin = relative_difference(a, b)
    assert (difference[0], margin[0]) == pytest.approx((expected[0][0], expected[1][0]))
    assert np.isfinite(margin[1])
    assert np.isnan(margin[2])  # one value has no spread
    assert relative_difference(np.ones((3, 1), np.float32), np.ones((4, 1), np.float32))[0] == 0


def test_blocks_without_any_finite_ratio_can_be_reported() -> None:
    one = frame(1)
    one.blocks.ratio[:] = np.inf
    html = report(one)
    assert "40 of 40 images have a shortcut of zero" in html
    assert "Is F(x) close to zero?" not in html
