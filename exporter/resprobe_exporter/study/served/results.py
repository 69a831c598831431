"""Results of a study of served models, and their files: results.json, Parquet tables, and the page."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resprobe import _files
from resprobe.report import page

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.study.evidence import Answer
from resprobe_exporter.study.page import section, summary
from resprobe_exporter.study.results import write_answers
from resprobe_exporter.study.served import ratios, tokens
from resprobe_exporter.study.served.measure import Measured

NOTES = (
    "All intervals are 95 % bootstrap intervals over images; blocks and tokens are not resampled, and weights are what "
    "they are. Each verdict follows by the rule from the number beside it.",
    "Ratios depend on where a net normalises: the shortcut of a ViT is a sum that grows with depth, since norms "
    "stand before its branches; that of a ResNet passes a ReLU after each sum, and at each stage it is projected anew.",
    "M. Raghu, T. Unterthiner, S. Kornblith, C. Zhang, A. Dosovitskiy: Do Vision Transformers See Like Convolutional "
    "Neural Networks? arXiv 2108.08810.",
)


@dataclass(frozen=True)
class ServedStudy:
    """Answers about served models on the same images.

    Attributes:
        measured: Measurements of the models, in the order in which they were named.
    """

    measured: Sequence[Measured]

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Answers that these models allow."""
        return tuple(question.answer(self.measured) for question in self._questions())

    def write(self, directory: Path) -> None:
        """Writes results.json, a Parquet file for each answer, and index.html."""
        answers = self.answers
        write_answers(directory, self.as_json(), answers, self._page(answers))

    def as_json(self) -> dict[str, Any]:
        """Returns what was asked and the answers with their numbers, without their tables."""
        first = self.measured[0].frame
        return {
            "dataset": first.dataset,
            "images": len(first),
            "models": [_described(one) for one in self.measured],
            "answers": [{key: value for key, value in asdict(one).items() if key != "rows"} for one in self.answers],
        }

    def _questions(self) -> list[Any]:
        return [ratios, *([tokens] if tokens.is_asked(self.measured) else [])]

    def _page(self, answers: Sequence[Answer]) -> str:
        first = self.measured[0].frame
        sections = [
            page.Section("In short", list(summary(answers))),
            page.Section("The models", list(self._models())),
        ]
        for place, (question, one) in enumerate(zip(self._questions(), answers, strict=True), 1):
            sections.append(section(place, one, question.draw(self.measured), "The numbers. n counts images."))
        return page.render(
            f"How large is F(x) beside s(x): {len(self.measured)} served models on {len(first):,} images",
            f"The same {len(first):,} images of {first.dataset}, sent to {len(self.measured)} models that a server "
            "runs. Nothing was trained here. The page compares what their residual blocks add with what shortcuts "
            "carry, net by net, and says how far that repeats what Raghu et al. (2021) found.",
            sections,
            NOTES,
        )

    def _models(self) -> Iterator[str | page.Table]:
        rows = [
            (
                one.name,
                ", ".join(f"{sum(block.branch == kind for block in one.model.blocks)} {kind}" for kind in one.kinds),
                f"{one.model.height}×{one.model.width}×{one.model.channels}",
                f"{one.model.parameters:,}",
                "–" if one.frame.accuracy is None else f"{one.frame.accuracy:.4f}",
            )
            for one in self.measured
        ]
        columns = ("model", "branches", "image", "parameters", "accuracy on these images")
        yield page.Table(columns, rows, "The models. An accuracy near that of guessing means random weights.", left=2)
        for one in self.measured:
            notes = [*one.frame.notes, *([f"its accuracy is not known, as {one.note}"] if one.note else [])]
            if notes:
                yield f"{one.name}: {'; '.join(notes)}."


def prepare(directory: Path) -> None:
    """Makes the directory of results, before the work. Raises Error if it cannot be made or written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExporterError(f"{directory} cannot be made: {error.strerror}") from error
    _files.check(directory / "index.html")


def _described(one: Measured) -> dict[str, Any]:
    return {
        "name": one.model.name,
        "version": one.model.version,
        "family": one.model.family,
        "blocks": {kind: sum(block.branch == kind for block in one.model.blocks) for kind in one.kinds},
        "accuracy": one.frame.accuracy,
        "guesses": one.guesses,
        "notes": [*one.frame.notes, *([one.note] if one.note else [])],
    }
