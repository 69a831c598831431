"""The one rule of a study: what a number with its interval says of a claim, and the sentence that says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from resprobe_exporter.study.statistics import Estimate

Judgement = Literal["confirmed", "contradicted", "cannot tell"]
RULE = (
    "One rule gives every verdict. A claim says in which range a number lies: “rises” means above 0, “less” below 0. "
    "It is confirmed if the whole 95 % interval of the number lies in that range, contradicted if no part of it does, "
    "and otherwise, or without an interval, one cannot tell. What is expected of a question is confirmed if all claims "
    "that it consists of are, contradicted if one of them is, and otherwise one cannot tell. n is the number of "
    "observations behind an interval; a single net gives none."
)


@dataclass(frozen=True)
class Claim:
    """A claim about a number.

    Attributes:
        text: What is claimed, as a sentence without its full stop.
        estimate: The number.
        low: It lies above this.
        high: It lies below this.
        form: How the number is written.
        unit: What it is measured in, with a space before it where there is to be one.
    """

    text: str
    estimate: Estimate
    low: float = -inf
    high: float = inf
    form: str = "+.2f"
    unit: str = ""

    @property
    def judgement(self) -> Judgement:
        """What the number says of the claim; see `RULE`."""
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None:
            return "cannot tell"
        if self.low < low and high < self.high:
            return "confirmed"
        return "contradicted" if high <= self.low or low >= self.high else "cannot tell"

    def __str__(self) -> str:
        """The claim, what the number says of it, and the number."""
        return f"{self.text}: {self.judgement} ({shown(self.estimate, self.form, self.unit)})."


def rises(text: str, estimate: Estimate, form: str = "+.2f", unit: str = "") -> Claim:
    """The claim that a number is above 0."""
    return Claim(text, estimate, low=0, form=form, unit=unit)


def falls(text: str, estimate: Estimate, form: str = "+.2f", unit: str = "") -> Claim:
    """The claim that a number is below 0."""
    return Claim(text, estimate, high=0, form=form, unit=unit)


def conclude(claims: Sequence[Claim]) -> Judgement:
    """What is said of an expectation that consists of claims; see `RULE`."""
    found = {claim.judgement for claim in claims}
    if "contradicted" in found:
        return "contradicted"
    return "confirmed" if found == {"confirmed"} else "cannot tell"


def shown(estimate: Estimate, form: str = ".2f", unit: str = "") -> str:
    """A number with its interval and what it rests on: +1.25 points [+0.90, +1.60], n = 3 + 3."""
    count = f", n = {estimate.count}" if estimate.n else ""
    text = f"{estimate.value:{form}}{unit}"
    if estimate.low is None or estimate.high is None:
        return f"{text}, no interval{count}"
    return f"{text} [{estimate.low:{form}}, {estimate.high:{form}}]{count}"
