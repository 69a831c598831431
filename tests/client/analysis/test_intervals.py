"""Intervals: as wide as theory says, and defined where there is little to go by."""

import numpy as np
import pytest
from resprobe.analysis.intervals import bootstrap_mean, relative_difference
from scipy.stats import t


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


@pytest.mark.parametrize(("n", "m"), [(50, 80), (4, 3)])
def test_relative_difference_is_welch_with_students_t(n: int, m: int) -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(3, 1, (n, 1)).astype(np.float32), generator.normal(2, 2, (m, 1)).astype(np.float32)
    difference, margin = relative_difference(np.append(a, [[np.inf]], 0), np.append(b, [[np.nan]], 0))
    assert difference[0] == pytest.approx(a.mean() / b.mean() - 1, rel=1e-5)
    parts = np.array([a.var(ddof=1) / n, b.var(ddof=1) / m], np.float64)
    freedom = parts.sum() ** 2 / (parts**2 / [n - 1, m - 1]).sum()  # Welch and Satterthwaite
    assert margin[0] == pytest.approx(t.ppf(0.975, freedom) * np.sqrt(parts.sum()) / abs(b.mean()), rel=1e-4)


def test_groups_of_one_have_no_interval_and_equal_values_none_to_speak_of() -> None:
    ones, twos = np.ones((3, 2)), np.full((3, 2), 2.0)
    twos[1:, 1] = np.nan
    difference, margin = relative_difference(twos, ones)
    assert (difference[0], margin[0]) == (1, 0)
    assert np.isnan([difference[1], margin[1]]).all()
