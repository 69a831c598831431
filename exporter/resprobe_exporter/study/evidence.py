"""What the questions of a study are answered from, and what an answer is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from resprobe import datasets

from resprobe_exporter.study.plan import FAMILIES, Family
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, mean
from resprobe_exporter.study.verdict import Judgement

PAPER_SHALLOW = 20  # the paper compares 20 layers with 56
Outcome = Judgement | Literal["unanswered"]
WORDS: dict[Family, str] = {"plain": "plain", "resnet": "residual"}


@dataclass(frozen=True)
class Number:
    """One line of an answer's table: what it is, the number with its interval, its unit, and the paper's figure."""

    label: str
    estimate: Estimate
    unit: str = ""
    paper: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Attributes:
        key: One word; names the table and the figure.
        question: In words.
        expectation: What the paper says, or what one would expect.
        experiment: What was done.
        outcome: What the numbers say of the expectation; `unanswered` if there are none for it.
        verdict: What was found, in sentences that follow from the numbers.
        numbers: They.
        caption: Of the figure.
        rows: The tidy table behind them.
    """

    key: str
    question: str
    expectation: str
    experiment: str
    outcome: Outcome
    verdict: str
    numbers: tuple[Number, ...]
    caption: str
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Evidence:
    """What was measured of all nets of a study."""

    records: tuple[Record, ...]
    dataset: datasets.Name

    def select(self, family: Family, depth: int) -> list[Record]:
        """The nets of a family and depth, by seed."""
        found = [record for record in self.records if (record.family, record.depth) == (family, depth)]
        return sorted(found, key=lambda record: record.seed)

    def family(self, family: Family) -> list[Record]:
        """All nets of a family, by depth and seed."""
        return [record for depth in self.depths(family) for record in self.select(family, depth)]

    def depths(self, family: Family) -> list[int]:
        """Depths that there are nets of."""
        return sorted({record.depth for record in self.records if record.family == family})

    def families(self) -> list[Family]:
        """Families that there are nets of: plain, resnet."""
        return [family for family in FAMILIES if self.depths(family)]

    def pair(self, family: Family) -> tuple[int, int] | None:
        """The shallow and the deep net to compare: as in the paper 20 layers against the deepest, if there are such."""
        depths = self.depths(family)
        if len(depths) < 2:
            return None
        return (PAPER_SHALLOW if PAPER_SHALLOW in depths[:-1] else depths[0]), depths[-1]

    def values(self, family: Family, depth: int, measure: Callable[[Record], float]) -> list[float]:
        """A number of each net of a family and depth."""
        return [measure(record) for record in self.select(family, depth)]

    def numbers(
        self, label: str, measure: Callable[[Record], float], unit: str = "", families: Sequence[Family] = FAMILIES
    ) -> tuple[Number, ...]:
        """A number of the shallow and of the deep nets of each family, averaged over seeds."""
        return tuple(
            Number(f"{label}, {WORDS[family]}, {depth} layers", mean(self.values(family, depth, measure)), unit)
            for family in families
            for depth in dict.fromkeys(self.pair(family) or self.depths(family))
        )
