"""The direct answer: is F(x) small beside s(x)? Their ratio, by block, trained against untrained, against depth."""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure

from resprobe_exporter.study import figures, panels
from resprobe_exporter.study.evidence import Answer, Evidence, Number, Outcome, Question, Row
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import PowerLaw, difference, mean, power_law
from resprobe_exporter.study.verdict import Claim, conclude, falls, rises, shown

SMALL = 0.1  # a mean ratio below this is called close to zero

QUESTION = Question(
    key="ratios",
    text="Is F(x) close to zero?",
    expectation=(
        "The paper's hypothesis: a residual net is easy to train because its branches need only add a little to "
        "what the shortcut carries. Later work measured the ratio ‖F(x)‖ / ‖s(x)‖ and found its mean to fall about "
        "as 1 / (number of blocks), an exponent a of 1 (Chang et al. 2018, Hauser 2019), with the first block of "
        "each stage large. But batch norm makes it small before any training, with an a of about ½ (De & Smith "
        "2020): only what exceeds that is learned. Expected is a mean below 1 that falls with depth."
    ),
    experiment=(
        "‖F(x)‖₂ / ‖s(x)‖₂ of every block and test image, averaged over images, in the trained net and in the "
        "same net as it was initialised (its batch norms calibrated on training images). The exponent a is fitted to "
        "the logarithms by least squares over all residual nets."
    ),
    caption=(
        "Left: mean ratio of each block over test images in the deepest nets; bars are means over nets, points the "
        "nets. Right: mean over blocks of every net against the number of blocks, with the fitted power laws."
    ),
)


def trained(record: Record) -> float:
    """Returns the mean ratio over the blocks of a trained net."""
    return float(np.mean(list(record.trained.ratios.values())))


def untrained(record: Record) -> float:
    """Returns the mean ratio over the blocks of a net before training."""
    return float(np.mean(list(record.untrained.ratios.values())))


def smallest(record: Record) -> float:
    """Returns the smallest ratio of the blocks of a trained net."""
    return min(record.trained.ratios.values())


def fits(evidence: Evidence) -> Mapping[str, PowerLaw | None]:
    """Fits mean ratio ~ (number of blocks)^-a over all residual nets, trained and untrained."""
    records = evidence.family("resnet")
    blocks = [float(len(record.trained.ratios)) for record in records]
    return {
        name: power_law(blocks, [measure(record) for record in records])
        for name, measure in (("trained", trained), ("untrained", untrained))
    }


def answer(evidence: Evidence) -> Answer:
    """Answers from the ratios of all residual nets."""
    found = fits(evidence)
    outcome, verdict = _verdict(evidence, found)
    numbers = [
        *evidence.numbers("mean ratio, trained", trained, families=("resnet",)),
        *evidence.numbers("mean ratio, untrained", untrained, families=("resnet",)),
        *evidence.numbers("smallest ratio, trained", smallest, families=("resnet",)),
        *(Number(f"exponent a, {name}", fit.exponent) for name, fit in found.items() if fit is not None),
    ]
    return QUESTION.answered(outcome, verdict, numbers, _rows(evidence))


def _rows(evidence: Evidence) -> Iterator[Row]:
    yield from (
        {"depth": record.depth, "seed": record.seed, "block": block, "position": position}
        | {"trained": ratio, "untrained": record.untrained.ratios[block]}
        for record in evidence.family("resnet")
        for position, (block, ratio) in enumerate(record.trained.ratios.items())
    )


def _verdict(evidence: Evidence, found: Mapping[str, PowerLaw | None]) -> tuple[Outcome, str]:
    if not (depths := evidence.depths("resnet")):
        return "unanswered", "This cannot be answered: there are no residual nets."
    deep = depths[-1]
    size = mean(evidence.values("resnet", deep, trained))
    change = difference(evidence.values("resnet", deep, trained), evidence.values("resnet", deep, untrained))
    nets = f"In trained nets of {deep} layers"
    smaller = Claim(f"{nets} the branch is smaller than the shortcut, on average over blocks", size, high=1, form=".2f")
    said: list[Claim | str] = [
        smaller,
        Claim(f"It is close to zero, below {SMALL} times the shortcut", size, high=SMALL, form=".2f"),
        f"The smallest ratio of a block is {shown(mean(evidence.values('resnet', deep, smallest)))}.",
        falls("Training makes it smaller, so that part of its smallness is learned", change, "+.3f"),
    ]
    law, before = found["trained"], found["untrained"]
    if law is None or before is None:
        said.append("How it changes with depth cannot be answered: it needs nets of at least two depths.")
        return "cannot tell", " ".join(map(str, said))
    deeper = rises("The deeper the net, the smaller: a is above 0", law.exponent, ".2f")
    slower = Claim("It falls more slowly than later work found: a is below 1", law.exponent, high=1, form=".2f")
    said += [deeper, slower, f"Before training a = {shown(before.exponent)}."]
    return conclude([smaller, deeper]), " ".join(map(str, said))


def draw(evidence: Evidence) -> Figure:
    """Draws the ratio by block in the deepest nets, and the mean ratio against the number of blocks."""
    figure, axes = panels.grid(1, 2)
    if evidence.depths("resnet"):
        figures.ratios_by_block(axes[0, 0], evidence.select("resnet", evidence.depths("resnet")[-1]))
        measures = {"trained": trained, "untrained": untrained}
        figures.ratios_by_depth(axes[0, 1], evidence, measures, fits(evidence))
    return figure
