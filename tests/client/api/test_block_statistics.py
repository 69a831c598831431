"""Block statistics: what is derived from the numbers of a graph is what its tensors say."""

import numpy as np
import pytest
import resprobe
from hypothesis import given
from hypothesis import strategies as st


def test_block_statistics_of_nothing() -> None:
    sizes, zero, one = [4], np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    derive = resprobe.BlockStatistics.derive
    assert derive(["a"], sizes, one, zero, zero, zero).ratio[0, 0] == np.inf
    assert np.isnan(derive(["a"], sizes, zero, zero, zero, zero).ratio[0, 0])
    assert derive(["a"], sizes, zero, one, zero, zero).ratio[0, 0] == 0
    assert np.isnan(derive(["a"], sizes, zero, one, zero, zero).cosine[0, 0])


@given(
    values=st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4),
    shortcut=st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4),
)
def test_derived_statistics_are_those_of_the_tensors(values: list[float], shortcut: list[float]) -> None:
    f, s = np.array(values), np.array(shortcut)
    raw = [np.array([[number]], np.float32) for number in (np.linalg.norm(f), np.linalg.norm(s), f @ s, f.mean())]
    found = resprobe.BlockStatistics.derive(["a"], [4], *raw)
    assert found.branch_std[0, 0] == pytest.approx(f.std(), abs=float(2e-3 * np.linalg.norm(f) + 1e-6))
    if np.linalg.norm(f) > 1e-3 and np.linalg.norm(s) > 1e-3:
        assert found.ratio[0, 0] == pytest.approx(np.linalg.norm(f) / np.linalg.norm(s), rel=1e-4)
        assert found.cosine[0, 0] == pytest.approx(f @ s / np.linalg.norm(f) / np.linalg.norm(s), abs=1e-4)
