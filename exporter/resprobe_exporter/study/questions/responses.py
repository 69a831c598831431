"""Is the identity hard to keep? Standard deviation of the response of every 3×3 layer (He et al. 2015, Fig. 7)."""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure

from resprobe_exporter.study import figures, panels
from resprobe_exporter.study.evidence import Answer, Evidence, Number, Outcome, Question, Row
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, difference, mean
from resprobe_exporter.study.verdict import conclude, falls, shown

QUESTION = Question(
    key="responses",
    text="Is the identity hard to keep?",
    expectation=(
        "The third explanation: layers find it hard to pass on their input; with a shortcut they need only add "
        "little to it. In He et al. (Fig. 7) residual nets respond less than plain ones, and deeper residual nets less "
        "than shallower ones. Half of the points there are inner layers rather than F(x), and x itself is not "
        "measured; the next question measures both."
    ),
    experiment=(
        "Standard deviation over test images, channels and positions of the output of every 3×3 layer, after "
        "batch norm and before the non-linearity or the addition, in evaluation mode. Beside it the closed form "
        "sqrt(mean(γ²) + var(β)) of that batch norm, which needs no image: the two agree as far as test images "
        "are like training images, and as far as the batch norm's running statistics have settled."
    ),
    caption=(
        "Standard deviation of the response of each 3×3 layer, in layer order and sorted: lines are means, bands "
        "span the seeds. Right: all layers of all nets, measured against the closed form."
    ),
)


def response(record: Record) -> float:
    """Returns the mean response over the layers of a trained net."""
    return float(np.mean(list(record.trained.responses.values())))


def deviation(record: Record) -> float:
    """Returns the median over layers of |measured / closed form - 1|, in per cent."""
    measured = np.array([record.trained.responses[name] for name in record.closed_form])
    return float(100 * np.median(np.abs(measured / np.array(list(record.closed_form.values())) - 1)))


def answer(evidence: Evidence) -> Answer:
    """Answers from the responses of all nets."""
    by_family, by_depth = _compare(evidence)
    outcome, verdict = _verdict(evidence, by_family, by_depth)
    numbers = list(evidence.numbers("mean response", response))
    for depth, change in by_family.items():
        numbers.append(Number(f"mean response at {depth} layers, residual minus plain", change))
    if by_depth is not None:
        numbers.append(Number("mean response of residual nets, deep minus shallow", by_depth))
    numbers.append(
        Number(
            "measured against closed form, median deviation", mean([deviation(one) for one in evidence.records]), "%"
        )
    )
    return QUESTION.answered(outcome, verdict, numbers, _rows(evidence))


def _compare(evidence: Evidence) -> tuple[Mapping[int, Estimate], Estimate | None]:
    """Returns residual minus plain at the shallow and the deep depth, and deep minus shallow residual nets."""
    pair = evidence.pair("resnet")
    common = [depth for depth in pair or evidence.depths("resnet") if depth in evidence.depths("plain")]
    by_family = {
        depth: difference(*(evidence.values(family, depth, response) for family in ("resnet", "plain")))
        for depth in common
    }
    if pair is None:
        return by_family, None
    return by_family, difference(*(evidence.values("resnet", depth, response) for depth in reversed(pair)))


def _rows(evidence: Evidence) -> Iterator[Row]:
    yield from (
        {"family": record.family, "depth": record.depth, "seed": record.seed, "layer": layer, "position": position}
        | {"measured": measured, "closed_form": record.closed_form.get(layer)}
        | {"untrained": record.untrained.responses[layer]}
        for record in evidence.records
        for position, (layer, measured) in enumerate(record.trained.responses.items())
    )


def _verdict(evidence: Evidence, by_family: Mapping[int, Estimate], by_depth: Estimate | None) -> tuple[Outcome, str]:
    claims = [
        falls(f"Residual nets of {depth} layers respond less than their plain twins", change, "+.3f")
        for depth, change in by_family.items()
    ]
    if by_depth is not None and (pair := evidence.pair("resnet")) is not None:
        claims.append(
            falls(f"Residual nets of {pair[1]} layers respond less than those of {pair[0]}", by_depth, "+.3f")
        )
    said = list(map(str, claims))
    if not by_family:
        said.append("Whether residual nets respond less than plain ones cannot be answered: there are no plain twins.")
    apart = mean([deviation(one) for one in evidence.records])
    said.append(f"Measured and closed form differ by {shown(apart, '.1f', ' %')} in the median.")
    return conclude(claims) if claims else "unanswered", " ".join(said)


def draw(evidence: Evidence) -> Figure:
    """Draws responses by layer, sorted, and against the closed form."""
    figure, axes = panels.grid(1, 3)
    figures.profiles(axes[0, 0], evidence, lambda record: np.array(list(record.trained.responses.values())))
    axes[0, 0].set_xlabel("3×3 layer, from input (0) to output (1)")
    figures.profiles(axes[0, 1], evidence, lambda record: np.sort(list(record.trained.responses.values()))[::-1])
    axes[0, 1].set_xlabel("3×3 layer, sorted by response")
    for panel in axes[0, :2]:
        panel.set_ylabel("std of the response")
        panel.set_yscale("log")
        panels.logarithmic(panel.yaxis)
    axes[0, 0].legend()
    figures.measured_against_closed_form(axes[0, 2], evidence)
    return figure
