"""Two models on the same images: agreement, relative depth, intervals, and the command against a real server."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import resprobe
from resprobe.analysis import Frame
from resprobe.comparison import positions
from test_commands import Run, run  # noqa: F401  # a fixture
from test_plot import make


def frame(per_stage: int, images: int = 40) -> Frame:
    """Random ratios; labels and predictions are half right."""
    blocks, model = make(per_stage, images)
    labels = np.arange(images) % 2
    ones = np.ones(images, np.float32)
    return Frame(model, "digits", np.arange(images), None, labels, np.zeros(images, np.int64), ones, blocks)


def test_a_model_and_itself() -> None:
    one = frame(3)
    found = resprobe.compare(one, one)
    assert found.agreement == 1
    assert found.outcomes == {"both": 20, "only_a": 0, "only_b": 0, "neither": 20}
    for difference in (found.ratio, found.accuracy):
        assert difference is not None
        for values in (difference.value, difference.low, difference.high):
            assert not values.any()
    assert found.names == one.blocks.names


def test_another_depth_is_interpolated_at_the_same_relative_depth() -> None:
    deep, shallow = frame(9), frame(3)
    for one in (deep, shallow):  # a ratio that is linear in relative depth
        one.blocks.ratio[:] = 2 + 3 * positions(len(one.blocks.names))
    found = resprobe.compare(deep, shallow)
    assert found.depth == pytest.approx((np.arange(9) + 0.5) / 9)
    assert found.ratio_a == pytest.approx(2 + 3 * found.depth)
    assert found.ratio.value == pytest.approx(np.zeros(9), abs=1e-6)
    assert found.table().num_rows == 9
    assert len(resprobe.compare(frame(1), frame(200)).depth) == 3


def test_intervals_are_paired_and_as_wide_as_the_central_limit_says() -> None:
    a, b = frame(1, 400), frame(1, 400)
    shift = np.random.default_rng(5).normal(0.1, 0.05, (400, 3)).astype(np.float32)
    b.blocks.ratio[:] = a.blocks.ratio + shift
    found = resprobe.compare(a, b, resamples=2000)
    width = found.ratio.high - found.ratio.low  # of the difference alone, not of either ratio
    assert width == pytest.approx(2 * 1.96 * shift.std(axis=0) / 20, rel=0.1)
    assert ((found.ratio.low < found.ratio.value) & (found.ratio.value < found.ratio.high)).all()


def test_an_image_without_a_ratio_is_left_out_and_counted() -> None:
    a, b = frame(3), frame(3)
    a.blocks.ratio[3, 2], b.blocks.ratio[4, 5] = np.inf, np.nan
    found = resprobe.compare(a, b)
    assert found.images == 38
    assert np.isfinite(found.ratio.value).all()
    assert "2 images have a shortcut of zero in some block" in found.sentences()[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": np.arange(1, 41)}, "not asked about the same images"),
        ({"dataset": "cifar10"}, "not asked about the same images"),
        ({"model": dataclasses.replace(make(3, 1)[1], classes=("a",))}, "have 2 and 1 classes"),
        ({"blocks": dataclasses.replace(make(3, 1)[0], names=[])}, "has no residual blocks"),
    ],
    ids=["images", "data set", "classes", "blocks"],
)
def test_what_cannot_be_compared(change: dict[str, object], message: str) -> None:
    with pytest.raises(resprobe.InvalidRequest, match=message):
        resprobe.compare(frame(3), dataclasses.replace(frame(3), **change))  # type: ignore[arg-type]


def test_the_command(run: Run, address: str, tmp_path: Path) -> None:  # noqa: F811
    arguments = ["compare", "digits/1", "digits", "--dataset", "digits", "--limit", "50", "--address", address]
    plot, page = tmp_path / "plot.svg", tmp_path / "page.html"
    code, out, _ = run("resprobe", *arguments, "--plot", str(plot), "--out", str(page))
    assert code == 0
    assert "digits version 1 and digits version 2 agree on 100.00% of 50 images of digits." in out
    assert "only A is right on 0 images" in out
    assert "B − A" in page.read_text()
    assert plot.exists()
    found = json.loads(run("resprobe", *arguments, "--json")[1])
    assert found["agreement"] == 1
    assert [block["difference"] for block in found["blocks"]] == [0, 0, 0]
    code, _, error = run("resprobe", "compare", "digits", "vgg", "--dataset", "digits", "--address", address)
    assert (code, "no model 'vgg'" in error) == (1, True)
    code, _, error = run("resprobe", "compare", "digits", "digits", "--address", address)
    assert (code, "expected --dataset" in error) == (1, True)
