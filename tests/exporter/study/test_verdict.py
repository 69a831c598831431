"""The rule of a study's verdicts, and the sentences that show it with their numbers."""

import json
import re
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resprobe_exporter.study import verdict
from resprobe_exporter.study.statistics import Estimate, rank_correlation
from resprobe_exporter.study.verdict import Claim, conclude, falls, rises, shown

YES, NO, OPEN = "confirmed", "contradicted", "cannot tell"
TABLE = [
    # value, interval, range of the claim, verdict
    (10.56, (-5.1, 26.2), (0, inf), OPEN),  # a large number is no proof
    (10.56, (0.1, 21.0), (0, inf), YES),
    (-0.01, (-0.02, -0.001), (0, inf), NO),
    (0.68, (-0.32, 1.0), (0, inf), OPEN),
    (0.68, (0.11, 1.0), (0, inf), YES),
    (-0.12, (None, None), (-inf, 0), OPEN),  # one net
    (-0.12, (-0.2, -0.04), (-inf, 0), YES),
    (0.0, (0.0, 0.0), (0, inf), NO),  # equal in every net
    (0.0, (0.0, 0.0), (-inf, 0), NO),
    (56.0, (30.0, 82.0), (-inf, 5), NO),  # 56 points are not hardly anything
    (4.0, (1.0, 7.0), (-inf, 5), OPEN),
    (1.0, (0.2, 4.0), (0.1, 10), YES),
    (1.0, (0.02, 40.0), (0.1, 10), OPEN),
    (0.01, (0.001, 0.1), (0.1, 10), NO),
    (0.05, (0.01, 0.2), (0.1, 10), OPEN),
    (90.0, (11.0, 700.0), (0.1, 10), NO),
]


@pytest.mark.parametrize(("value", "interval", "within", "expected"), TABLE)
def test_claims_are_judged_by_the_rule(
    value: float, interval: tuple[float | None, float | None], within: tuple[float, float], expected: str
) -> None:
    claim = Claim("It is so", Estimate(value, *interval, n=(3, 3)), *within, unit=" points")
    assert claim.judgement == expected
    text = str(claim)
    assert text.startswith(f"It is so: {expected} ({value:+.2f} points")
    assert text.endswith("n = 3 + 3).")
    assert ("no interval" in text) == (interval[0] is None)
    if interval[0] is not None and interval[1] is not None:
        assert f"[{interval[0]:+.2f}, {interval[1]:+.2f}]" in text


@pytest.mark.parametrize(
    ("judgements", "expected"),
    [
        ([YES], YES),
        ([YES, YES], YES),
        ([YES, OPEN], OPEN),
        ([YES, NO], NO),
        ([OPEN, NO], NO),
        ([OPEN], OPEN),
        ([], OPEN),
    ],
)
def test_an_expectation_is_judged_by_its_claims(judgements: list[str], expected: str) -> None:
    intervals = {YES: (0.5, 1.5), NO: (-1.5, -0.5), OPEN: (-0.5, 0.5)}
    assert conclude([rises("x", Estimate(sum(intervals[one]) / 2, *intervals[one])) for one in judgements]) == expected


@given(ends=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2).map(sorted))
def test_opposite_claims_are_never_both_confirmed(ends: list[float]) -> None:
    estimate = Estimate(sum(ends) / 2, ends[0], ends[1])
    up, down = rises("x", estimate).judgement, falls("x", estimate).judgement
    assert {up, down} <= {YES, NO, OPEN}
    if up == YES or down == YES:
        assert {up, down} == {YES, NO}
    if ends[0] < 0 < ends[1]:
        assert up == down == OPEN


def test_numbers_are_shown_with_interval_and_observations() -> None:
    assert shown(Estimate(1.25, 0.9, 1.6, (3,)), unit=" %") == "1.25 % [0.90, 1.60], n = 3"
    assert shown(Estimate(1.25, n=(1, 1)), "+.1f") == "+1.2, no interval, n = 1 + 1"
    rho = rank_correlation([1, 2, 3, 4], [1, 3, 2, 4])
    assert rho is not None
    assert rho.n == (4,)


def test_a_study_of_single_nets_cannot_tell(finished: Path) -> None:
    """Checks that every sentence with a number has n, claims no more than the interval, and that the rule is shown."""
    answers = json.loads((finished / "results.json").read_text())["answers"]
    for answer in answers:
        for claim in re.findall(r": (confirmed|contradicted|cannot tell) \(([^()]*)\)", answer["verdict"]):
            assert "n = " in claim[1]
            if "no interval" in claim[1]:
                assert claim[0] == OPEN
        assert answer["outcome"] in (OPEN, "contradicted", "confirmed")
        assert all(number["estimate"]["n"] for number in answer["numbers"])
    assert {answer["key"]: answer["outcome"] for answer in answers}["degradation"] == OPEN
    assert "One rule gives every verdict" in verdict.RULE
    assert verdict.RULE[:60] in (finished / "index.html").read_text()
