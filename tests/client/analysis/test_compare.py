"""Two models on the same images: agreement, relative depth, intervals, and the command against a real server."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import resprobe
from resprobe.analysis.depth import positions

from tests.support.commands import Run
from tests.support.statistics import frame, make


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


def test_another_depth_is_compared_stage_by_stage() -> None:
    deep, shallow = frame(9), frame(3)
    for one in (deep, shallow):  # each stage has a slope of its own, from its first block to its last
        count = len(one.blocks.names) // 3
        within = np.arange(count) / (count - 1)
        one.blocks.ratio[:] = np.concatenate([2 + 3 * within, 9 - within, 4 + 0 * within])
    found = resprobe.compare(deep, shallow)
    assert found.names == shallow.blocks.names
    assert found.ratio_a == pytest.approx([2, 3.5, 5, 9, 8.5, 8, 4, 4, 4])
    assert found.ratio.value == pytest.approx(np.zeros(9), abs=1e-6)
    assert found.to_arrow().num_rows == 9
    assert found.to_arrow()["difference"].to_pylist() == found.ratio.value.tolist()
    assert "blocks=9" in repr(found)
    assert (np.diff(found.depth) > 0).all()
    assert len(resprobe.compare(frame(1), frame(200)).depth) == 3


def test_a_stages_only_block_is_compared_with_the_first() -> None:
    deep, shallow = frame(7), frame(1)
    found = resprobe.compare(deep, shallow)
    assert found.ratio_a == pytest.approx(deep.blocks.ratio.astype(float).mean(axis=0)[[0, 7, 14]])
    assert resprobe.compare(shallow, deep).ratio.value == pytest.approx(-found.ratio.value)


def test_other_numbers_of_stages_are_compared_by_depth_and_that_is_said() -> None:
    three, two = frame(2), frame(3)
    blocks = tuple(dataclasses.replace(block, stage=min(block.stage, 2)) for block in two.model.blocks)
    two = dataclasses.replace(two, model=dataclasses.replace(two.model, blocks=blocks))
    found = resprobe.compare(three, two)
    assert not found.by_stage
    assert found.depth == pytest.approx((np.arange(6) + 0.5) / 6)
    said = " ".join(found.sentences())
    assert "net has 3 stages and net 2 stages: blocks are compared by depth in the whole net" in said
    two.blocks.ratio[:] = 1 + positions(two.model, False)
    assert resprobe.compare(three, two).ratio_b == pytest.approx(1 + found.depth)


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


def test_the_command(run: Run, address: str, tmp_path: Path) -> None:
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
