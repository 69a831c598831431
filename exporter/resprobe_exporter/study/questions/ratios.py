"""The direct answer: is F(x) small beside s(x)? Their ratio, by block, trained against untrained, against depth."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from resprobe_exporter.study import figures
from resprobe_exporter.study.evidence import Answer, Evidence, Number, Outcome, interval
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, PowerLaw, difference, mean, power_law

# What a mean ratio below this is called.
SIZES = (
    (0.1, "close to zero"),
    (0.5, "a small change to x rather than zero"),
    (1.0, "smaller than x, but not close to zero"),
)


def trained(record: Record) -> float:
    """Mean ratio over blocks."""
    return float(np.mean(list(record.trained.ratios.values())))


def untrained(record: Record) -> float:
    """The same before training."""
    return float(np.mean(list(record.untrained.ratios.values())))


def smallest(record: Record) -> float:
    """Of all blocks."""
    return min(record.trained.ratios.values())


def fits(evidence: Evidence) -> Mapping[str, PowerLaw | None]:
    """Mean ratio ~ (number of blocks)^-a over all residual nets, trained and untrained."""
    records = evidence.family("resnet")
    blocks = [float(len(record.trained.ratios)) for record in records]
    return {
        name: power_law(blocks, [measure(record) for record in records])
        for name, measure in (("trained", trained), ("untrained", untrained))
    }


def answer(evidence: Evidence) -> Answer:
    """From the ratios of all residual nets."""
    found = fits(evidence)
    outcome, verdict = _verdict(evidence, found)
    numbers = [
        *evidence.numbers("mean ratio, trained", trained, families=("resnet",)),
        *evidence.numbers("mean ratio, untrained", untrained, families=("resnet",)),
        *evidence.numbers("smallest ratio, trained", smallest, families=("resnet",)),
        *(Number(f"exponent a, {name}", fit.exponent) for name, fit in found.items() if fit is not None),
    ]
    return Answer(
        key="ratios",
        question="Is F(x) close to zero?",
        expectation=(
            "The paper's hypothesis: a residual net is easy to train because its branches need only add a little to "
            "what the shortcut carries. Later work measured the ratio ‖F(x)‖ / ‖s(x)‖ and found its mean to fall about "
            "as 1 / (number of blocks), an exponent a of 1 (Chang et al. 2018, Hauser 2019), with the first block of "
            "each stage large. But batch norm makes it small before any training, with an a of about ½ (De & Smith "
            "2020): only what goes beyond that is learned."
        ),
        experiment=(
            "‖F(x)‖₂ / ‖s(x)‖₂ of every block and test image, averaged over images, in the trained net and in the "
            "same net as it was initialised (its batch norms set from training images). The exponent a is fitted to "
            "the logarithms by least squares over all residual nets."
        ),
        outcome=outcome,
        verdict=verdict,
        numbers=tuple(numbers),
        caption=(
            "Left: mean ratio of each block over test images in the deepest nets; bars are means over nets, points the "
            "nets. Right: mean over blocks of every net against the number of blocks, with the fitted power laws."
        ),
        rows=tuple(
            {"depth": record.depth, "seed": record.seed, "block": block, "position": position}
            | {"trained": ratio, "untrained": record.untrained.ratios[block]}
            for record in evidence.family("resnet")
            for position, (block, ratio) in enumerate(record.trained.ratios.items())
        ),
    )


def _verdict(evidence: Evidence, found: Mapping[str, PowerLaw | None]) -> tuple[Outcome, str]:
    if not (depths := evidence.depths("resnet")):
        return "unanswered", "This cannot be answered: there are no residual nets."
    deep = depths[-1]
    size = mean(evidence.values("resnet", deep, trained))
    word = next((text for bound, text in SIZES if size.value < bound), "so it is not: it is larger than x")
    said = [
        f"In trained nets of {deep} layers the branch is {interval(size)} times the shortcut on average over blocks, "
        f"{word}. The smallest block has {interval(mean(evidence.values('resnet', deep, smallest)))}."
    ]
    change = difference(evidence.values("resnet", deep, trained), evidence.values("resnet", deep, untrained))
    said.append(_learned(change))
    law, before = found["trained"], found["untrained"]
    if law is None or before is None:
        return "undecided", " ".join([*said, "How it changes with depth takes nets of at least two depths."])
    said.append(_falls(law.exponent, before.exponent))
    return {1: "agrees", 0: "undecided", -1: "differs"}[law.exponent.sign], " ".join(said)  # type: ignore[return-value]


def _learned(change: Estimate) -> str:
    """Trained minus untrained, at the deepest depth."""
    text = f"(trained minus untrained: {interval(change, '+.3f')})"
    if change.sign < 0:
        return f"Training makes it smaller {text}: part of its smallness is learned."
    if change.sign > 0:
        return f"Training makes it larger {text}: its smallness is not learned, batch norm gives it."
    return f"Training makes it neither measurably smaller nor larger {text}: no smallness is shown to be learned."


def _falls(exponent: Estimate, before: Estimate) -> str:
    """How the mean ratio changes with depth."""
    text = f"a = {interval(exponent)}"
    if exponent.low is None:
        return f"From the shallowest net to the deepest it changes as (number of blocks)^-a with {text}."
    start = {
        1: "The deeper the net, the smaller",
        0: "With depth it does not measurably change",
        -1: "With depth it grows",
    }
    a = exponent.value
    near = "in keeping with 1" if exponent.holds(1) else f"{'slower' if a < 1 else 'faster'} than the 1 of later work"
    return f"{start[exponent.sign]}: {text}, {near}; before training a = {interval(before)}."


def draw(evidence: Evidence) -> Figure:
    """Ratio by block in the deepest nets, and the mean ratio against the number of blocks."""
    figure, axes = figures.grid(1, 2)
    if evidence.depths("resnet"):
        figures.ratios_by_block(axes[0, 0], evidence.select("resnet", evidence.depths("resnet")[-1]))
        measures = {"trained": trained, "untrained": untrained}
        figures.ratios_by_depth(axes[0, 1], evidence, measures, fits(evidence))
    return figure
