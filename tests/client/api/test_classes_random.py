"""The classes of a data set in any order, and any part of them: whoever asks, the same images count as right."""

from dataclasses import replace

import numpy as np
import pytest
import resprobe
from hypothesis import given, settings
from hypothesis import strategies as st
from resprobe import analysis, datasets
from resprobe.datasets import Dataset

IMAGES = 40


@pytest.fixture(scope="module")
def whole() -> Dataset:
    return datasets.load("digits").head(IMAGES)


@pytest.fixture(scope="module")
def right(address: str, whole: Dataset) -> np.ndarray:
    """Whether the model is right, bool [n]; some are wrong, so that a mistake shows."""
    with resprobe.Client(address) as client:
        found = analysis.sweep(client, whole, "digits").correct
    assert found is not None
    assert 0 < found.mean() < 1
    return found


def reordered(whole: Dataset, order: list[int]) -> tuple[Dataset, np.ndarray]:
    """The images of some classes, with these classes in another order; and where they were."""
    rows = np.flatnonzero(np.isin(whole.labels, order))
    part = whole.take(rows)
    labels = np.array([order.index(label) for label in part.labels.tolist()], np.int64)
    return replace(part, labels=labels, classes=tuple(whole.classes[place] for place in order)), rows


@settings(max_examples=25)
@given(st.lists(st.integers(0, 9), min_size=2, unique=True))
def test_any_order_and_any_subset_is_judged_alike(
    address: str, whole: Dataset, right: np.ndarray, order: list[int]
) -> None:
    part, rows = reordered(whole, order)
    with resprobe.Client(address) as client:
        frame = analysis.sweep(client, part, "digits")
        assert frame.labels is not None
        assert frame.labels.tolist() == whole.labels[rows].tolist()
        np.testing.assert_array_equal(frame.correct, right[rows])
        lesions = client.lesions(part.images, part.labels, classes=part.classes, model="digits")
        assert lesions.accuracy == pytest.approx(right[rows].mean())
        same = resprobe.compare(frame, analysis.sweep(client, part, "digits/1"))
        assert same.agreement == 1
        assert same.outcomes == {
            "both": int(right[rows].sum()),
            "only_a": 0,
            "only_b": 0,
            "neither": (~right[rows]).sum(),
        }
