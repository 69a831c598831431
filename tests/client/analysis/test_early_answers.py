"""Early answers: what is said of depths that lean to the last stage."""

import dataclasses

import numpy as np
from resprobe.analysis.early_answers import EarlyAnswers

# Four images of class 1 after two blocks that fitted heads read and two of the last stage, which the own head reads.
ANSWERS = EarlyAnswers(
    ["stage1.block0", "stage2.block0", "stage3.block0", "stage3.block1"],
    np.arange(4),
    ["fitted", "fitted", "own", "own"],
    np.array([[0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 0]]),
    np.ones(4, np.int64),
)


def test_an_own_head_that_reads_worse_than_a_fitted_one_is_reported() -> None:
    said = ANSWERS.caution()
    assert said is not None
    assert said.startswith("depths lean to the last stage")
    assert said.endswith(
        "is right for 25.0% of the images after stage3.block0, and the fitted head for 75.0% after stage2.block0, "
        "before it"
    )
    assert ANSWERS.depth.tolist() == [3, 3, 1, 0]


def test_an_own_head_that_reads_well_is_not() -> None:
    classes = ANSWERS.classes.copy()
    classes[:, 2] = 1
    assert dataclasses.replace(ANSWERS, classes=classes).caution() is None


def test_without_fitted_heads_that_is_said() -> None:
    names, heads, classes = ANSWERS.names[2:], ANSWERS.heads[2:], ANSWERS.classes[:, 2:]
    said = EarlyAnswers(names, np.array([2, 3]), heads, classes, ANSWERS.labels).caution()
    assert said == "no block before stage3.block0 has a readout, so no answer counts as decided earlier"
    assert EarlyAnswers(names, np.array([0, 1]), heads, classes, ANSWERS.labels).caution() is None
