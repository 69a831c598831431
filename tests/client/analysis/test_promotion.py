"""The verdict on a candidate: each rule by itself, and all together."""

from dataclasses import replace

import pytest
from resprobe._results.shadow import BlockChange, Shadow
from resprobe.analysis.promotion import judge, read, verdict
from resprobe.errors import InvalidRequest

STILL = BlockChange("stage1.block0", 1000, 0.5, 0.5, 1.0, 0.99, 1.01)
MOVED = BlockChange("stage1.block1", 1000, 0.5, 0.65, 1.3, 1.25, 1.35)
WIDE = BlockChange("stage1.block2", 3, 0.5, 0.6, 1.2, 0.8, 1.8)
FOUND = Shadow("net", "2", "1", 0.1, 0.0, "", 1000, 995, 20, 0, "", 0.002, 0.001, (), (STILL,))


@pytest.mark.parametrize(
    ("rule", "found", "outcome"),
    [
        ("agreement>=0.98", FOUND, "holds"),
        ("agreement >= 0.995", FOUND, "undecided"),  # 99.5 %, but the interval begins below
        ("agreement>=0.999", replace(FOUND, agreed=900), "broken"),
        ("agreement>=0.5", replace(FOUND, images=0, agreed=0), "undecided"),
        ("images>=1000", FOUND, "holds"),
        ("images>=1001", FOUND, "undecided"),
        ("failed<=0", FOUND, "holds"),
        ("failed<=0", replace(FOUND, failed=1), "broken"),
        ("failed<=0.01", replace(FOUND, failed=1), "holds"),
        ("slower<=2.5", FOUND, "holds"),
        ("slower<=1.5", FOUND, "broken"),
        ("moved<=0.1", FOUND, "holds"),
        ("moved<=0.1", replace(FOUND, blocks=(STILL, MOVED)), "broken"),
        ("moved<=0.4", replace(FOUND, blocks=(STILL, MOVED)), "holds"),
        ("moved<=0.1", replace(FOUND, blocks=(STILL, WIDE)), "undecided"),
        ("moved<=0.1", replace(FOUND, blocks=(MOVED, WIDE)), "broken"),
        ("moved<=0.1", replace(FOUND, blocks=()), "undecided"),
    ],
)
def test_a_rule(rule: str, found: Shadow, outcome: str) -> None:
    (judged,) = judge(found, read([rule]))
    assert judged.outcome == outcome, judged


def test_one_broken_rule_decides() -> None:
    rules = read(["images>=1001", "slower<=1.5", "failed<=0"])
    assert [one.outcome for one in judge(FOUND, rules)] == ["undecided", "broken", "holds"]
    assert verdict(judge(FOUND, rules)) == "broken"
    assert verdict(judge(FOUND, rules[::2])) == "undecided"
    assert verdict(judge(FOUND, rules[2:])) == verdict([]) == "holds"


@pytest.mark.parametrize("text", ["agreement", "agreement<=0.9", "speed>=1", "moved<=x"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a rule; expected agreement>=SHARE"):
        read([text])


def test_the_interval_of_the_agreement_is_wilsons() -> None:
    low, high = FOUND.agreement_interval
    assert (round(low, 4), round(high, 4)) == (0.9883, 0.9979)  # R: prop.test(995, 1000, correct = FALSE)
