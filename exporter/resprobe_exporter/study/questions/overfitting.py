"""Is it overfitting? Training error against test error, deep nets against shallow ones."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from resprobe_exporter.study import figures, panels
from resprobe_exporter.study.evidence import WORDS, Answer, Evidence, Number, Outcome, Question, Row
from resprobe_exporter.study.plan import Family
from resprobe_exporter.study.questions.degradation import change, test_error
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, difference
from resprobe_exporter.study.verdict import conclude, rises

QUESTION = Question(
    key="overfitting",
    text="Is it overfitting?",
    expectation=(
        "A net that overfits does better on the images that it was trained on and worse on others. If that were why "
        "deep plain nets do worse, their training error would fall with depth. In He et al. (§1) it rises where the "
        "test error does: it is not overfitting."
    ),
    experiment="The errors of the first question: test against training error, and the gap between them against depth.",
    caption=(
        "Left: each net's test error against its training error; numbers are depths; on the line they are equal. "
        "Right: the difference against depth, with 95 % intervals."
    ),
)


def gap(record: Record) -> float:
    """Returns the test error minus the training error, in points."""
    return 100 * (record.trained.test_error - record.trained.train_error)


def answer(evidence: Evidence) -> Answer:
    """Answers from the errors of the plain nets, or of the residual nets if there are no plain ones."""
    family: Family = "plain" if evidence.pair("plain") else "resnet"
    on_train, on_test = change(evidence, family), None
    if (pair := evidence.pair(family)) is not None:
        on_test = difference(*(evidence.values(family, depth, test_error) for depth in reversed(pair)))
    outcome, verdict = _verdict(family, on_train, on_test)
    numbers = list(evidence.numbers("test minus training error", gap, "points"))
    for name, rise in (("training", on_train), ("test", on_test)):
        if rise is not None:
            numbers.append(Number(f"{name} error, {family}, deep minus shallow", rise, "points"))
    return QUESTION.answered(outcome, verdict, numbers, _rows(evidence))


def _rows(evidence: Evidence) -> Iterator[Row]:
    yield from (
        {
            "family": record.family,
            "depth": record.depth,
            "seed": record.seed,
            "train_error": record.trained.train_error,
            "test_error": record.trained.test_error,
            "gap": record.trained.test_error - record.trained.train_error,
        }
        for record in evidence.records
    )


def _verdict(family: Family, on_train: Estimate | None, on_test: Estimate | None) -> tuple[Outcome, str]:
    """Judges by the training error, if the test error rises; if not, there is nothing to explain."""
    if on_train is None or on_test is None:
        return "unanswered", "This cannot be answered: it needs nets of at least two depths."
    worse = rises(f"The test error of {WORDS[family]} nets rises with depth", on_test, unit=" points")
    too = rises("Their training error rises too, so that it is not overfitting", on_train, unit=" points")
    if family != "plain":
        lead = "This cannot be answered for plain nets: there are no plain nets of two depths here."
        return "unanswered", f"{lead} {worse} {too}"
    if worse.judgement != "confirmed":
        return "cannot tell", f"{worse} So there may be nothing to explain. {too}"
    return conclude([too]), f"{worse} {too}"


def draw(evidence: Evidence) -> Figure:
    """Draws test error against training error, and the gap against depth."""
    figure, axes = panels.grid(1, 2)
    figures.error_plane(axes[0, 0], evidence)
    figures.against_depth(axes[0, 1], evidence, gap, error=False)
    axes[0, 1].axhline(0, color="black", linewidth=0.8)
    axes[0, 1].set_ylabel("test minus training error, points")
    axes[0, 1].legend()
    return figure
