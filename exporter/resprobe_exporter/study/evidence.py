"""Evidence that the questions of a study are answered from, and the form of questions and answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from resprobe import datasets

from resprobe_exporter.study.plan import FAMILIES, Family
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, mean
from resprobe_exporter.study.verdict import Judgement

PAPER_SHALLOW = 20  # the paper compares 20 layers with 56
Outcome = Judgement | Literal["unanswered"]
Row = dict[str, Any]
WORDS: dict[Family, str] = {"plain": "plain", "resnet": "residual"}


@dataclass(frozen=True)
class Number:
    """One line of an answer's table.

    Attributes:
        label: Name of the number.
        estimate: The number with its interval.
        unit: Unit of the number.
        paper: The paper's figure as text; empty if it has none.
    """

    label: str
    estimate: Estimate
    unit: str = ""
    paper: str = ""


@dataclass(frozen=True)
class Question:
    """A question of a study, before anything is measured.

    Attributes:
        key: One word that names the table and the figure.
        text: The question in words.
        expectation: What the paper or later work says, or what one would expect.
        experiment: How the numbers are measured.
        caption: Caption of the figure.
    """

    key: str
    text: str
    expectation: str
    experiment: str
    caption: str

    def answered(self, outcome: Outcome, verdict: str, numbers: Iterable[Number], rows: Iterable[Row]) -> "Answer":
        """Returns the answer with these findings; `Answer` describes them."""
        return Answer(
            key=self.key,
            question=self.text,
            expectation=self.expectation,
            experiment=self.experiment,
            outcome=outcome,
            verdict=verdict,
            numbers=tuple(numbers),
            caption=self.caption,
            rows=tuple(rows),
        )


@dataclass(frozen=True)
class Answer:
    """Answer to one question.

    Attributes:
        key: One word that names the table and the figure.
        question: The question in words.
        expectation: What the paper or later work says, or what one would expect.
        experiment: How the numbers were measured.
        outcome: What the numbers say about the expectation; `unanswered` if there are no numbers for it.
        verdict: Findings, in sentences that follow from the numbers.
        numbers: Numbers behind the verdict.
        caption: Caption of the figure.
        rows: Tidy table behind the numbers.
    """

    key: str
    question: str
    expectation: str
    experiment: str
    outcome: Outcome
    verdict: str
    numbers: tuple[Number, ...]
    caption: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Evidence:
    """Measurements of all nets of a study.

    Attributes:
        records: Measurements of each net.
        dataset: Data set that the nets learned.
    """

    records: tuple[Record, ...]
    dataset: datasets.Name

    def select(self, family: Family, depth: int) -> list[Record]:
        """Returns the nets of a family and depth, by seed."""
        found = [record for record in self.records if (record.family, record.depth) == (family, depth)]
        return sorted(found, key=lambda record: record.seed)

    def family(self, family: Family) -> list[Record]:
        """Returns all nets of a family, by depth and seed."""
        return [record for depth in self.depths(family) for record in self.select(family, depth)]

    def depths(self, family: Family) -> list[int]:
        """Returns the depths of a family's nets, ascending."""
        return sorted({record.depth for record in self.records if record.family == family})

    def families(self) -> list[Family]:
        """Returns the families that have nets."""
        return [family for family in FAMILIES if self.depths(family)]

    def pair(self, family: Family) -> tuple[int, int] | None:
        """Returns the depths of the shallow and the deep nets to compare: 20, as in the paper, and the deepest.

        Without nets of 20 layers, the shallowest are compared. If None, the family has fewer than two depths.
        """
        depths = self.depths(family)
        if len(depths) < 2:
            return None
        return (PAPER_SHALLOW if PAPER_SHALLOW in depths[:-1] else depths[0]), depths[-1]

    def compared_depths(self, family: Family) -> Sequence[int]:
        """Returns the depths of `pair`, or the family's only depth."""
        return self.pair(family) or self.depths(family)

    def values(self, family: Family, depth: int, measure: Callable[[Record], float]) -> list[float]:
        """Returns a number of each net of a family and depth, by seed."""
        return [measure(record) for record in self.select(family, depth)]

    def numbers(
        self,
        label: str,
        measure: Callable[[Record], float],
        unit: str = "",
        families: Sequence[Family] = FAMILIES,
        paper: Callable[[Family, int], str] = lambda _family, _depth: "",
    ) -> tuple[Number, ...]:
        """Returns a number of the shallow and of the deep nets of each family, averaged over seeds.

        Args:
            label: Name of the number, to which family and depth are added.
            measure: Function that returns the number of a net.
            unit: Unit of the number.
            families: Families to include.
            paper: Function that returns the paper's figure for a family and depth as text.
        """
        return tuple(
            Number(
                f"{label}, {WORDS[family]}, {depth} layers",
                mean(self.values(family, depth, measure)),
                unit,
                paper(family, depth),
            )
            for family in families
            for depth in self.compared_depths(family)
        )
