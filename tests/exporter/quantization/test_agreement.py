"""Changes of accuracy on the same images, with their interval."""

import numpy as np
import pytest
from resprobe_exporter.quantization.agreement import Answers, compare


def answers(right: np.ndarray, classes: np.ndarray) -> Answers:
    return Answers(0.0, classes, right.astype(bool))


def test_the_same_answers_have_an_interval_around_zero() -> None:
    right = np.arange(1000) % 10 > 0
    same = answers(right, np.zeros(1000, np.int64))
    change = compare(same, same)
    assert (change.accuracy, change.agreement) == (0, 1)
    assert change.lower == pytest.approx(-change.upper)
    assert 0 < change.upper < 0.002


def test_the_interval_covers_the_true_change_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    lost, gained, covered = 0.03, 0.01, 0
    for _ in range(400):
        draw = random.random(500)
        before = answers(draw < 0.8 + lost, np.zeros(500, np.int64))
        after = answers((draw < 0.8) | (draw > 1 - gained), np.zeros(500, np.int64))
        change = compare(before, after)
        covered += change.lower <= gained - lost <= change.upper
    assert 0.92 <= covered / 400 <= 0.98


def test_agreement_counts_wrong_answers_that_are_the_same() -> None:
    before = answers(np.array([1, 0, 0, 1]), np.array([0, 1, 2, 3]))
    after = answers(np.array([1, 0, 0, 0]), np.array([0, 1, 3, 4]))
    change = compare(before, after)
    assert change.agreement == 0.5
    assert change.accuracy == -0.25
