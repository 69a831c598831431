"""Rules of --shadow and --split, and the routes that come of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resprobe_server.errors import InvalidRequest, StartError
from resprobe_server.models.routes import HIGHEST, Route
from resprobe_server.shadowing.rules import Rule, read

LOADED = {1, 2, 3}


def test_the_rules_of_one_model_are_joined() -> None:
    found = read(["digits=2:0.1", "plain=3:1"], ["digits=2:.05"])
    assert found == [Rule("digits", 2, 0.1, 0.05), Rule("plain", 3, 1.0, 0.0)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("digits", "expected NAME=VERSION:SHARE, for example resnet20=2:0.1"),
        ("digits=two:0.1", "expected NAME=VERSION"),
        ("digits=0:0.1", "expected NAME=VERSION"),
        ("digits=2:1.5", "share is 1.5; expected 0 to 1"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, reason: str) -> None:
    with pytest.raises(StartError, match=reason):
        read([text], [])


def test_a_model_has_one_candidate() -> None:
    with pytest.raises(StartError, match="the candidate of digits is 2 already"):
        read(["digits=2:0.1"], ["digits=3:0.1"])
    with pytest.raises(InvalidRequest, match="split is -1"):
        Rule("digits", 2, 0.1, -1)


def test_a_candidate_is_not_the_default() -> None:
    assert HIGHEST.default(LOADED) == 3
    assert Route(candidate=3).default(LOADED) == 2
    assert Route(candidate=3).default({3}) == 3  # nothing else could answer
    assert Route(pinned=1, candidate=3).default(LOADED) == 1
    assert Route(pinned=9, candidate=3).default(LOADED) == 2  # it is not loaded


@given(split=st.sampled_from([0.05, 0.5]))
def test_a_split_is_stable_and_of_the_right_size(split: float) -> None:
    route = Route(candidate=3, split=split)
    chosen = [route.choose(LOADED, "digits", str(number)) for number in range(4000)]
    assert chosen == [route.choose(LOADED, "digits", str(number)) for number in range(4000)]
    assert set(chosen) == {2, 3}
    assert abs(chosen.count(3) / 4000 - split) < 5 * (split * (1 - split) / 4000) ** 0.5
    assert route.choose(LOADED, "digits", "") == 2
    assert {route.choose({1, 2}, "digits", str(number)) for number in range(100)} == {2}  # it is not loaded


def test_a_larger_split_keeps_the_requests_of_a_smaller_one() -> None:
    small, large = (Route(candidate=3, split=split) for split in (0.1, 0.4))
    for number in range(1000):
        if small.choose(LOADED, "digits", str(number)) == 3:
            assert large.choose(LOADED, "digits", str(number)) == 3
