"""The one rule of a study: what a number with its interval says about a claim, and the sentence that says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from resprobe_exporter.study.statistics import Estimate

Judgement = Literal["confirmed", "contradicted", "cannot tell"]
RULE = (
    "One rule gives every verdict. A claim says in which range a number lies: “rises” means above 0, “less” below 0. "
    "A claim is confirmed if the whole 95 % interval of its number lies in that range, and contradicted if no part of "
    "the interval does. Otherwise, or without an interval, one cannot tell. The expectation of a question consists of "
    "one or more claims: it is confirmed if all of them are, and contradicted if one of them is; otherwise one cannot "
    "tell. n is the number of observations behind an interval: nets, blocks or images."
)


@dataclass(frozen=True)
class Claim:
    """A claim that a number lies between `low` and `high`.

    Attributes:
        text: The claim as a sentence, without its full stop.
        estimate: The number.
        low: Lower end of the range, exclusive.
        high: Upper end of the range, exclusive.
        form: Format specification of the number.
        unit: Unit of the number, with a leading space where one is needed.
    """

    text: str
    estimate: Estimate
    low: float = -inf
    high: float = inf
    form: str = "+.2f"
    unit: str = ""

    @property
    def judgement(self) -> Judgement:
        """Judgement of the claim by `RULE`."""
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None:
            return "cannot tell"
        if self.low < low and high < self.high:
            return "confirmed"
        return "contradicted" if high <= self.low or low >= self.high else "cannot tell"

    def __str__(self) -> str:
        """Returns the claim, its judgement and its number as a sentence."""
        return f"{self.text}: {self.judgement} ({shown(self.estimate, self.form, self.unit)})."


def rises(text: str, estimate: Estimate, form: str = "+.2f", unit: str = "") -> Claim:
    """Returns the claim that a number is above 0."""
    return Claim(text, estimate, low=0, form=form, unit=unit)


def falls(text: str, estimate: Estimate, form: str = "+.2f", unit: str = "") -> Claim:
    """Returns the claim that a number is below 0."""
    return Claim(text, estimate, high=0, form=form, unit=unit)


def conclude(claims: Sequence[Claim]) -> Judgement:
    """Judges an expectation that consists of claims, by `RULE`."""
    found = {claim.judgement for claim in claims}
    if "contradicted" in found:
        return "contradicted"
    return "confirmed" if found == {"confirmed"} else "cannot tell"


def shown(estimate: Estimate, form: str = ".2f", unit: str = "") -> str:
    """Returns a number with its interval and its observations as text: +1.25 points [+0.90, +1.60], n = 3 + 3."""
    count = f", n = {estimate.count}" if estimate.n else ""
    text = f"{estimate.value:{form}}{unit}"
    if estimate.low is None or estimate.high is None:
        return f"{text}, no interval{count}"
    return f"{text} [{estimate.low:{form}}, {estimate.high:{form}}]{count}"
