"""Is it overfitting? Training error against test error, deep nets against shallow ones."""

from matplotlib.figure import Figure

from resprobe_exporter.study import figures
from resprobe_exporter.study.evidence import WORDS, Answer, Evidence, Number, Outcome
from resprobe_exporter.study.plan import Family
from resprobe_exporter.study.questions.degradation import change, test_error
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, difference
from resprobe_exporter.study.verdict import conclude, rises


def gap(record: Record) -> float:
    """Test error minus training error, in points."""
    return 100 * (record.trained.test_error - record.trained.train_error)


def answer(evidence: Evidence) -> Answer:
    """From the errors of the plain nets; of the residual ones where there are no plain ones."""
    family: Family = "plain" if evidence.pair("plain") else "resnet"
    on_train, on_test = change(evidence, family), None
    if (pair := evidence.pair(family)) is not None:
        on_test = difference(*(evidence.values(family, depth, test_error) for depth in reversed(pair)))
    outcome, verdict = _verdict(family, on_train, on_test)
    numbers = list(evidence.numbers("test minus training error", gap, "points"))
    for name, rise in (("training", on_train), ("test", on_test)):
        if rise is not None:
            numbers.append(Number(f"{name} error, {family}, deep minus shallow", rise, "points"))
    return Answer(
        key="overfitting",
        question="Is it overfitting?",
        expectation=(
            "A net that overfits does better on what it was trained on and worse on the rest. If that were why deep "
            "plain nets do worse, their training error would fall with depth. In He et al. (§1) it rises where the "
            "test error does: it is no overfitting."
        ),
        experiment="The same errors: that of training against that of test, and the gap between them against depth.",
        outcome=outcome,
        verdict=verdict,
        numbers=tuple(numbers),
        caption=(
            "Left: each net's test error against its training error; numbers are depths; on the line they are equal. "
            "Right: the difference against depth, with 95 % intervals."
        ),
        rows=tuple(
            {
                "family": record.family,
                "depth": record.depth,
                "seed": record.seed,
                "train_error": record.trained.train_error,
                "test_error": record.trained.test_error,
                "gap": record.trained.test_error - record.trained.train_error,
            }
            for record in evidence.records
        ),
    )


def _verdict(family: Family, on_train: Estimate | None, on_test: Estimate | None) -> tuple[Outcome, str]:
    """There is something to explain only if the test error rises: then the training error decides."""
    if on_train is None or on_test is None:
        return "unanswered", "This cannot be answered: it takes nets of at least two depths."
    worse = rises(f"The test error of {WORDS[family]} nets rises with depth", on_test, unit=" points")
    too = rises("Their training error rises too, so that it is no overfitting", on_train, unit=" points")
    if family != "plain":
        lead = "This cannot be answered for plain nets: there are none of two depths here."
        return "unanswered", f"{lead} {worse} {too}"
    if worse.judgement != "confirmed":
        return "cannot tell", f"{worse} So there may be nothing to explain. {too}"
    return conclude([too]), f"{worse} {too}"


def draw(evidence: Evidence) -> Figure:
    """Test error against training error, and the gap against depth."""
    figure, axes = figures.grid(1, 2)
    figures.error_plane(axes[0, 0], evidence)
    figures.against_depth(axes[0, 1], evidence, gap, error=False)
    axes[0, 1].axhline(0, color="black", linewidth=0.8)
    axes[0, 1].set_ylabel("test minus training error, points")
    axes[0, 1].legend()
    return figure
