"""Intervals: as wide as theory predicts, and defined for a single image."""

import numpy as np
import pytest
from resprobe.analysis.intervals import bootstrap_mean


def test_a_bootstrap_interval_is_as_wide_as_the_central_limit_says() -> None:
    values = np.random.default_rng(0).normal([1, -2], [1, 3], (1000, 2))
    found = bootstrap_mean(values, 0.95, 2000, np.random.default_rng(1))
    assert found.value == pytest.approx(values.mean(axis=0))
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std(axis=0) / np.sqrt(1000), rel=0.1)


def test_a_bootstrap_is_repeatable_and_one_image_has_no_spread() -> None:
    values = np.random.default_rng(0).normal(size=(20, 3))
    one, two = (bootstrap_mean(values, 0.9, 100, np.random.default_rng(7)) for _ in range(2))
    assert one.low.tolist() == two.low.tolist()
    alone = bootstrap_mean(values[:1], 0.9, 100, np.random.default_rng(7))
    assert alone.low.tolist() == alone.value.tolist() == alone.high.tolist() == values[0].tolist()
