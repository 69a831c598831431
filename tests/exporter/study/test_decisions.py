"""Answers from block to block, on readouts that were written down."""

import numpy as np
import pytest
from resprobe_exporter.study.inside.decisions import decide
from scipy import stats

BLOCKS = [f"stage1.block{index}" for index in range(5)]
CLASSES = np.array(
    [
        [0, 0, 0, 0, 0],  # right from the first block
        [1, 2, 1, 1, 1],  # right from the third
        [0, 0, 2, 3, 3],  # wrong; 0, which is right, came up earlier, and 2, which is another class
        [1, 1, 1, 1, 1],  # wrong, and never right
    ]
)
LABELS = np.array([0, 1, 0, 2])


def test_answers_are_followed_from_block_to_block() -> None:
    found = decide(BLOCKS, CLASSES, LABELS, np.tile([5.0, 1, 2, 3, 4], (4, 1)), class_count=4)
    assert list(found.accuracy.values()) == [0.75, 0.5, 0.5, 0.5, 0.5]
    assert list(found.decided.values()) == [0.5, 0, 0.25, 0.25, 0]
    assert found.rise is not None
    assert found.rise.value == pytest.approx(stats.spearmanr([0.75, 0.5, 0.5, 0.5, 0.5], range(5)).statistic)
    assert found.with_ratio is not None
    expected = stats.spearmanr([0.5, 0, 0.25, 0.25, 0], [5, 1, 2, 3, 4]).statistic
    assert found.with_ratio.value == pytest.approx(expected)
    assert found.right_earlier is not None
    wilson = stats.binomtest(1, 2).proportion_ci(method="wilson")
    assert (found.right_earlier.low, found.right_earlier.high) == pytest.approx((wilson.low, wilson.high))
    assert found.above_other is not None
    assert found.above_other.value == pytest.approx(((1 - 1 / 2) + (0 - 0 / 2)) / 2)
    assert found.depth_with_ratio is None  # all images have the same ratios


def test_a_net_that_errs_nowhere_has_no_early_right_answers() -> None:
    found = decide(BLOCKS[:3], CLASSES[:2, 2:], LABELS[:2], np.ones((2, 3)), class_count=4)
    assert (found.right_earlier, found.above_other, found.rise) == (None, None, None)
    assert list(found.decided.values()) == [1, 0, 0]
