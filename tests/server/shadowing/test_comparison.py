"""The changes of blocks are those that NumPy finds with all images at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resprobe_server.shadowing.comparison import BlockChanges, Comparison

RATIO = st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0, 2.0, float("inf"), float("nan")])


@given(pairs=st.lists(st.tuples(RATIO, RATIO), min_size=1, max_size=30))
def test_changes_of_a_block(pairs: list[tuple[float, float]]) -> None:
    changes = BlockChanges(["one"])
    for current, candidate in pairs:
        changes.add(np.array([current]), np.array([candidate]))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.array([np.log(np.float64(b) / np.float64(a)) for a, b in pairs])
    good = np.isfinite(logs)
    assert changes.counts[0] == good.sum()
    factor, low, high = changes.factors()[:, 0]
    if good.sum() > 1:
        half = 1.959964 * logs[good].std(ddof=1) / good.sum() ** 0.5
        expected = np.exp(logs[good].mean() + np.array([0, -half, half]))
        np.testing.assert_allclose([factor, low, high], expected, rtol=1e-9)
        kept = [pair for pair, there in zip(pairs, good, strict=True) if there]
        np.testing.assert_allclose(changes.ratios()[:, 0], np.mean(kept, axis=0))
    else:
        assert (low, high) == (0, np.inf)
        if not good.any():
            assert factor == 1
            assert np.isnan(changes.ratios()).all()


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator, covered = np.random.default_rng(0), 0
    for _ in range(400):
        changes = BlockChanges(["one"])
        for log in generator.normal(0.1, 0.5, 60):
            changes.add(np.ones(1), np.exp([log]))
        _, low, high = changes.factors()[:, 0]
        covered += low <= np.exp(0.1) <= high
    assert 0.91 <= covered / 400 <= 0.98


def test_classes_and_times_are_added_up() -> None:
    found = Comparison(BlockChanges([]))
    for classes in ((1, 1), (1, 2), (1, 2)):
        found.add(classes, (0.5, 1.0))
    assert (found.images, found.agreed, dict(found.changes)) == (3, 1, {(1, 2): 2})
    assert found.seconds == pytest.approx((1.5, 3.0))
