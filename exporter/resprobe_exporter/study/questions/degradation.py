"""What happens when a net gets deeper? Training and test error against depth (He et al. 2015, Fig. 6)."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from resprobe_exporter.study import figures, panels
from resprobe_exporter.study.evidence import WORDS, Answer, Evidence, Number, Outcome, Question, Row
from resprobe_exporter.study.plan import FAMILIES, Family
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, contrast, difference
from resprobe_exporter.study.verdict import Claim, conclude, rises

PAPER_TEST_ERROR = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43, 1202: 7.93}  # Table 6, CIFAR-10, per cent

QUESTION = Question(
    key="degradation",
    text="What happens when a net gets deeper?",
    expectation=(
        "A deeper net can do all that a shallower one can: its added layers need only pass on their input. Yet "
        "in He et al. (§4.2, Fig. 6) the training error of plain nets rises from 20 to 56 layers, and more than "
        "that of residual nets, which falls."
    ),
    experiment=(
        "Training and test error after training, measured in evaluation mode on images without augmentation. Below: "
        "the error during training, as the paper draws it."
    ),
    caption=(
        "Error after training against depth: pale points are nets, bars 95 % intervals of their means. "
        "Below, for nets trained here, the error of each epoch on its augmented images, mean over seeds."
    ),
)


def train_error(record: Record) -> float:
    """Returns the training error in per cent."""
    return 100 * record.trained.train_error


def test_error(record: Record) -> float:
    """Returns the test error in per cent."""
    return 100 * record.trained.test_error


def change(evidence: Evidence, family: Family) -> Estimate | None:
    """Returns the training error of the deep nets minus that of the shallow ones, in points."""
    pair = evidence.pair(family)
    if pair is None:
        return None
    shallow, deep = pair
    return difference(evidence.values(family, deep, train_error), evidence.values(family, shallow, train_error))


def answer(evidence: Evidence) -> Answer:
    """Answers from the errors of all nets."""
    changes = {family: change(evidence, family) for family in evidence.families()}
    outcome, verdict = _verdict(evidence, changes)
    numbers = [*evidence.numbers("training error", train_error, "%"), *_test_numbers(evidence)]
    numbers += [
        Number(f"training error, {WORDS[family]}, deep minus shallow", rise, "points")
        for family, rise in changes.items()
        if rise is not None
    ]
    if (gap := _gap(evidence)) is not None:
        numbers.append(Number(f"training error at {gap[0]} layers, plain minus residual", gap[1], "points"))
    return QUESTION.answered(outcome, verdict, numbers, _rows(evidence))


def _rows(evidence: Evidence) -> Iterator[Row]:
    for record in evidence.records:
        yield {
            "family": record.family,
            "depth": record.depth,
            "seed": record.seed,
            "train_error": record.trained.train_error,
            "test_error": record.trained.test_error,
            "train_loss": record.trained.train_loss,
            "test_loss": record.trained.test_loss,
            "seconds": record.seconds,
        }


def _verdict(evidence: Evidence, changes: dict[Family, Estimate | None]) -> tuple[Outcome, str]:
    rising = {family: _rise(evidence, family, rise) for family, rise in changes.items() if rise is not None}
    said: list[Claim | str] = list(rising.values())
    expected = [claim for family, claim in rising.items() if family == "plain"]
    plain, residual = evidence.pair("plain"), evidence.pair("resnet")
    if plain is not None and residual is not None:
        groups = [
            *(evidence.values("plain", depth, train_error) for depth in reversed(plain)),
            *(evidence.values("resnet", depth, train_error) for depth in reversed(residual)),
        ]
        less = contrast(groups, (1, -1, -1, 1))
        expected.append(rises("It rises more in plain nets than in residual ones", less, unit=" points"))
        said.append(expected[-1])
    if (gap := _gap(evidence)) is not None:
        text = f"At {gap[0]} layers it is higher in plain nets than in their residual twins of as many parameters"
        said.append(rises(text, gap[1], unit=" points"))
    if plain is None:
        said.insert(0, "Whether plain nets degrade cannot be answered: there are no plain nets of two depths here.")
    return "unanswered" if plain is None else conclude(expected), " ".join(map(str, said))


def _rise(evidence: Evidence, family: Family, rise: Estimate) -> Claim:
    shallow, deep = evidence.pair(family) or (0, 0)
    text = f"The training error of {WORDS[family]} nets rises from {shallow} to {deep} layers"
    return rises(text, rise, unit=" points")


def _gap(evidence: Evidence) -> tuple[int, Estimate] | None:
    """Returns the deepest depth of both families, and there the training error of plain minus residual nets."""
    common = set(evidence.depths("plain")) & set(evidence.depths("resnet"))
    if not common:
        return None
    plain, residual = (evidence.values(family, max(common), train_error) for family in ("plain", "resnet"))
    return max(common), difference(plain, residual)


def _test_numbers(evidence: Evidence) -> tuple[Number, ...]:
    known = PAPER_TEST_ERROR if evidence.dataset == "cifar10" else {}

    def paper(family: Family, depth: int) -> str:
        return f"{known[depth]:.2f} %" if family == "resnet" and depth in known else ""

    return evidence.numbers("test error", test_error, "%", paper=paper)


def draw(evidence: Evidence) -> Figure:
    """Draws errors against depth, and below the error during training."""
    trained = any(record.curve for record in evidence.records)
    figure, axes = panels.grid(2 if trained else 1, 2)
    for place, (measure, name) in enumerate(((train_error, "training error, %"), (test_error, "test error, %"))):
        figures.against_depth(axes[0, place], evidence, measure)
        axes[0, place].set_ylabel(name)
    if evidence.dataset == "cifar10":
        figures.reference(axes[0, 1], PAPER_TEST_ERROR, evidence.depths("resnet"), "residual, the paper's Table 6")
    axes[0, 1].legend()
    for place, family in enumerate(FAMILIES if trained else ()):
        figures.curves(axes[1, place], evidence, family)
    return figure
