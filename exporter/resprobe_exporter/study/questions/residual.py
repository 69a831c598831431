"""Answers of questions about the deepest residual nets."""

from collections.abc import Callable, Iterable, Sequence

from resprobe_exporter.study.evidence import Answer, Evidence, Number, Outcome, Question, Row
from resprobe_exporter.study.record import Record


def of_deepest(
    question: Question,
    evidence: Evidence,
    verdict: Callable[[Sequence[Record]], tuple[Outcome, str]],
    numbers: Callable[[Sequence[Record]], Iterable[Number]],
    rows: Callable[[Evidence], Iterable[Row]],
) -> Answer:
    """Answers a question from residual nets, if there are some.

    Args:
        question: Question.
        evidence: Records of all nets.
        verdict: Judges the deepest residual nets.
        numbers: Returns the numbers of the residual nets of one depth, for each depth that is compared.
        rows: Returns the rows of the question's table.
    """
    depths = evidence.depths("resnet")
    if not depths:
        return question.answered("unanswered", "This cannot be answered: there are no residual nets.", (), ())
    outcome, text = verdict(evidence.select("resnet", depths[-1]))
    found = [one for depth in evidence.compared_depths("resnet") for one in numbers(evidence.select("resnet", depth))]
    return question.answered(outcome, text, found, rows(evidence))
