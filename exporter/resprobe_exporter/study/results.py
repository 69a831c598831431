"""Results of a study, and their files: results.json, a Parquet table for each question, and the page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from resprobe import _files

from resprobe_exporter.study import page
from resprobe_exporter.study.evidence import Answer, Evidence
from resprobe_exporter.study.plan import StudyPlan
from resprobe_exporter.study.questions import (
    decisions,
    degradation,
    gradients,
    lesions,
    overfitting,
    proxies,
    ratios,
    responses,
)

QUESTIONS = (degradation, overfitting, gradients, responses, ratios, lesions, decisions, proxies)


@dataclass(frozen=True)
class StudyResults:
    """Results of a study.

    Attributes:
        plan: Plan of the study.
        evidence: Measurements of all nets.
        answers: Answers to the questions, in the order of `QUESTIONS`.
    """

    plan: StudyPlan
    evidence: Evidence
    answers: tuple[Answer, ...]

    @property
    def tables(self) -> Mapping[str, pa.Table]:
        """Tidy table of each question, by the question's key."""
        return tables(self.answers)

    def write(self, directory: Path) -> None:
        """Writes results.json, a Parquet file for each question, and index.html."""
        drawings = [question.draw(self.evidence) for question in QUESTIONS]
        html = page.render(self.plan, self.evidence, self.answers, drawings)
        write_answers(directory, self.as_json(), self.answers, html)

    def as_json(self) -> dict[str, Any]:
        """Returns the plan, and the answers with their numbers but without their tables."""
        return {
            "plan": _json_value(asdict(self.plan)),
            "nets": len(self.evidence.records),
            "compute_seconds": sum(record.seconds for record in self.evidence.records),
            "answers": [
                {key: value for key, value in asdict(answer).items() if key != "rows"} for answer in self.answers
            ],
        }


def tables(answers: Sequence[Answer]) -> Mapping[str, pa.Table]:
    """Returns a tidy table for each answer that has rows, by its key."""
    return {answer.key: pa.Table.from_pylist(list(answer.rows)) for answer in answers if answer.rows}


def write_answers(directory: Path, results: Mapping[str, Any], answers: Sequence[Answer], html: str) -> None:
    """Writes results.json, a Parquet file for each answer with rows, and the page, index.html."""
    _files.write(directory / "results.json", json.dumps(results, indent=1, ensure_ascii=False))
    for key, table in tables(answers).items():
        with _files.replacing(directory / f"{key}.parquet") as part, part.open("wb") as file:
            pq.write_table(table, file)
    _files.write(directory / "index.html", html)


def answer_questions(plan: StudyPlan, evidence: Evidence) -> StudyResults:
    """Answers all questions from the measurements."""
    return StudyResults(plan, evidence, tuple(question.answer(evidence) for question in QUESTIONS))


def _json_value(value: object) -> object:
    """Converts a value to what JSON can hold: paths become text."""
    if isinstance(value, dict):
        return {key: _json_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(one) for one in value]
    return str(value) if isinstance(value, Path) else value
