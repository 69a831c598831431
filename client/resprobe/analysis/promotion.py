"""Rules for a promotion, and the verdict on a candidate: each rule holds, is broken, or is not decided yet.

A share or a factor is judged by its 95 % interval: a rule holds when the whole interval is within the limit, is broken
when all of it is beyond, and otherwise more images must decide.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from resprobe._results.shadow import BlockChange, Shadow
from resprobe.errors import InvalidRequest

FORM = re.compile(r"(agreement|images|failed|moved|slower)(>=|<=)(\d*\.?\d+(?:e-?\d+)?)")
DIRECTIONS = {"agreement": ">=", "images": ">=", "failed": "<=", "moved": "<=", "slower": "<="}
EXPECTED = "expected agreement>=SHARE, images>=N, failed<=SHARE, moved<=CHANGE or slower<=FACTOR"
Outcome: TypeAlias = Literal["holds", "broken", "undecided"]


@dataclass(frozen=True)
class Rule:
    """Rule such as agreement>=0.99.

    Attributes:
        name: agreement: share of the images with the same class. images: number of images. failed: share of the chosen
            images that failed. moved: change of a block's ratio, 0.1 for a tenth more or less. slower: time of an image
            over that with the current version.
        limit: Limit of it.
    """

    name: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}{DIRECTIONS[self.name]}{self.limit:g}"


@dataclass(frozen=True)
class Judged:
    """Rule with what was found.

    Attributes:
        rule: Rule.
        outcome: Whether it holds.
        found: What was found, for people.
    """

    rule: Rule
    outcome: Outcome
    found: str


def read(texts: Sequence[str]) -> list[Rule]:
    """Reads rules. Raises InvalidRequest for a text that is not a rule."""
    rules = []
    for text in texts:
        found = FORM.fullmatch(text.replace(" ", ""))
        if found is None or DIRECTIONS[found[1]] != found[2]:
            raise InvalidRequest(f"{text!r} is not a rule; {EXPECTED}")
        rules.append(Rule(found[1], float(found[3])))
    return rules


def judge(shadow: Shadow, rules: Sequence[Rule]) -> list[Judged]:
    """Judges a candidate by each rule."""
    return [_judge(shadow, rule) for rule in rules]


def verdict(judged: Sequence[Judged]) -> Outcome:
    """Returns what all rules together say: one that is broken decides, then one that is undecided."""
    outcomes = {one.outcome for one in judged}
    return "broken" if "broken" in outcomes else "undecided" if "undecided" in outcomes else "holds"


def _judge(shadow: Shadow, rule: Rule) -> Judged:
    limit, images = rule.limit, shadow.images
    if rule.name == "images":
        return Judged(rule, "holds" if images >= limit else "undecided", f"{images:,} images")
    if rule.name == "failed":
        share = shadow.failed / max(images + shadow.failed, 1)
        return Judged(rule, "holds" if share <= limit else "broken", f"{shadow.failed:,} images failed, {share:.2%}")
    if not images:
        return Judged(rule, "undecided", "no images yet")
    if rule.name == "slower":
        factor = shadow.seconds / shadow.current_seconds
        return Judged(rule, "holds" if factor <= limit else "broken", f"{factor:.2f} times the time")
    if rule.name == "agreement":
        low, high = shadow.agreement_interval
        outcome: Outcome = "holds" if low >= limit else "broken" if high < limit else "undecided"
        return Judged(rule, outcome, f"{shadow.agreement:.2%} ({low:.2%} to {high:.2%})")
    return _moved(shadow.blocks, rule)


def _moved(blocks: Sequence[BlockChange], rule: Rule) -> Judged:
    if not blocks:
        return Judged(rule, "undecided", "the versions have no blocks in common")
    worst = max(blocks, key=lambda one: max(one.upper, 1 / one.lower if one.lower else float("inf")))
    moved = max(blocks, key=_least_move)
    found = f"{worst.name} × {worst.factor:.3f} ({worst.lower:.3f} to {worst.upper:.3f})"
    if _least_move(moved) > rule.limit:
        return Judged(rule, "broken", f"{moved.name} × {moved.factor:.3f} ({moved.lower:.3f} to {moved.upper:.3f})")
    holds = 1 - rule.limit <= worst.lower and worst.upper <= 1 + rule.limit
    return Judged(rule, "holds" if holds else "undecided", found)


def _least_move(block: BlockChange) -> float:
    """Returns how far a block has moved at least, by its interval: 0 if it may not have moved at all."""
    return max(block.lower - 1, 1 - block.upper, 0.0)
