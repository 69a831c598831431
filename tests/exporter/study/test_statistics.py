"""Statistics of a study, against scipy's tests and known results."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from resprobe_exporter.study import statistics
from scipy import stats

observations = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=2, max_size=8)


@given(observations)
def test_means_have_students_interval(values: list[float]) -> None:
    assume(np.ptp(values) > 0.01)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    found = statistics.mean(values)
    assert found.value == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(observations, observations)
def test_differences_have_welchs_interval(first: list[float], second: list[float]) -> None:
    assume(min(np.ptp(first), np.ptp(second)) > 0.01)
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    found = statistics.difference(first, second)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.n == (len(first), len(second))


def test_an_interval_needs_two_observations_of_each_group() -> None:
    assert statistics.mean([4.0]).low is None
    assert statistics.difference([1.0, 2.0], [3.0]).high is None
    equal = statistics.mean([4.0, 4.0])
    assert (equal.low, equal.high) == (4, 4)


def test_the_number_of_observations_is_shown_for_each_group() -> None:
    assert statistics.mean([1.0, 2.0, 3.0]).count == "3"
    assert statistics.difference([5.0, 5.1, 5.2], [1.0, 1.1]).count == "3 + 2"


def test_a_contrast_of_four_groups_is_the_difference_of_two_differences() -> None:
    first, second = [5.0, 5.1, 5.2, 4.9], [1.0, 1.1, 1.3, 0.4]
    both = statistics.contrast((first, second, first, second), (1, -1, -1, 1))
    assert both.value == pytest.approx(0)
    assert both.low is not None
    assert both.high == pytest.approx(-both.low)


def test_a_power_law_is_found() -> None:
    x = [3.0, 6.0, 9.0, 27.0]
    law = statistics.power_law(x, [2 * one**-0.5 for one in x])
    assert law is not None
    assert law.exponent.value == pytest.approx(0.5)
    assert law.factor == pytest.approx(2)
    assert all(one > two for one, two in pairwise(law(np.array(x))))
    assert statistics.power_law([3.0, 3.0], [1.0, 2.0]) is None


def test_rank_correlations_are_spearmans() -> None:
    rho = statistics.rank_correlation([1, 2, 3, 4, 5], [1, 4, 9, 16, 25])
    assert rho is not None
    assert (rho.value, rho.high) == pytest.approx((1, 1))
    x, y = [1.0, 2.0, 2.0, 5.0, 3.0], [2.0, 1.0, 4.0, 3.0, 3.0]
    mixed = statistics.rank_correlation(x, y)
    assert mixed is not None
    assert mixed.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert statistics.rank_correlation([1, 2, 3], [1, 1, 1]) is None


def test_random_orders_reach_a_rank_correlation() -> None:
    generator = np.random.default_rng(0)
    rhos = [stats.spearmanr(np.arange(9), generator.permutation(9)).statistic for _ in range(1000)]
    assert np.mean(np.abs(rhos) > statistics.rank_correlation_by_chance(9)) == pytest.approx(0.05, abs=0.02)
