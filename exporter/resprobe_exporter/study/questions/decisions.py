"""When does the net decide? Accuracy read off after each block, early right answers, and depths against the ratio."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resprobe_exporter.study import panels
from resprobe_exporter.study.evidence import Answer, Evidence, Number, Outcome, Question, Row
from resprobe_exporter.study.inside import Inside
from resprobe_exporter.study.inside.summary import accuracy, combine, decided, last_stage, stage, stage_ends
from resprobe_exporter.study.questions.proxies import in_random_order
from resprobe_exporter.study.questions.residual import of_deepest
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, over_nets
from resprobe_exporter.study.verdict import Claim, conclude, rises

ABOUT_HALF = (40.0, 60.0)  # per cent
NOTABLE = 1.0  # points of accuracy by which the net's own head may read worse without a word

QUESTION = Question(
    key="decisions",
    text="When does the net decide?",
    expectation=(
        "Alain & Bengio (2016) fitted linear heads after each layer and found that their accuracy rises with depth. "
        "Kaya et al. (2019) found that about half of a net's wrong answers were right after an earlier layer: it had "
        f"“overthought” them. About half is read here as {ABOUT_HALF[0]:.0f} to {ABOUT_HALF[1]:.0f} %."
    ),
    experiment=(
        "After each block of the residual nets a linear head reads the means over positions: multinomial logistic "
        "regression, fitted on training images and judged on test images. At the last block the net's own answer "
        "counts. The prediction depth of an image is the first block from which all readouts give the final answer "
        "(Baldock et al. 2021). With many readouts a class comes up by chance too: how often a wrong class that is "
        "not the answer came up earlier is the measure for that. “As served” are the readouts that a served model "
        "gives, in whose last stage the net's own head reads every block. Plain nets have no blocks and are left out."
    ),
    caption=(
        "The deepest residual nets, mean over nets: accuracy of the readout after each block, the share of answers "
        "that is decided at it, and that share against the block's ratio. Last: accuracy of fitted heads in nets of "
        "all depths, from the first block (0) to the net's own answer (1)."
    ),
)


def answer(evidence: Evidence) -> Answer:
    """Answers from the readouts of the deepest residual nets."""
    return of_deepest(QUESTION, evidence, _verdict, _numbers, _rows)


def _numbers(records: Sequence[Record]) -> Iterator[Number]:
    layers, nets = f"{records[0].depth} layers", _insides(records)
    blocks = list(accuracy(nets))
    read = {name: [net.decisions[name].accuracy for net in nets] for name in ("fitted", "served")}
    for block in dict.fromkeys((blocks[0], *stage_ends(blocks))):
        yield Number(f"accuracy after {block}, {layers}", _percent(read["fitted"], block), "%")
    first = last_stage(blocks)[0]
    if first != blocks[-1]:
        yield Number(f"accuracy after {first}, fitted head, {layers}", _percent(read["fitted"], first), "%")
        yield Number(f"accuracy after {first}, the net's own head, {layers}", _percent(read["served"], first), "%")
    for label, get, factor, unit in (
        ("rank correlation of accuracy and place of the block", lambda one: one.rise, 1, ""),
        ("wrong answers that were right earlier", lambda one: one.right_earlier, 100, "%"),
        ("the same minus another wrong class", lambda one: one.above_other, 100, "points"),
        ("rank correlation of answers decided at a block and its ratio", lambda one: one.with_ratio, 1, ""),
        ("rank correlation of depth and ratio over images", lambda one: one.depth_with_ratio, 1, ""),
    ):
        if (found := combine(nets, get, factor)) is not None:
            yield Number(f"{label}, {layers}", found, unit)


def _percent(accuracies: Sequence[Mapping[str, float]], block: str) -> Estimate:
    return over_nets([Estimate(one[block], n=(1,)) for one in accuracies], (0, 1)).times(100)


def _rows(evidence: Evidence) -> Iterator[Row]:
    for record in evidence.family("resnet"):
        fitted, served = (record.look_inside().decisions[name] for name in ("fitted", "served"))
        for position, block in enumerate(fitted.accuracy):
            yield {
                "depth": record.depth,
                "seed": record.seed,
                "block": block,
                "position": position,
                "ratio": record.trained.ratios[block],
                "accuracy": fitted.accuracy[block],
                "accuracy_served": served.accuracy[block],
                "decided": fitted.decided[block],
                "decided_served": served.decided[block],
            }


def _insides(records: Sequence[Record]) -> list[Inside]:
    return [record.look_inside() for record in records]


def _verdict(records: Sequence[Record]) -> tuple[Outcome, str]:
    nets = _insides(records)
    expected, said = list[Claim](), list[Claim | str]()
    if (rise := combine(nets, lambda one: one.rise)) is not None:
        text = (
            f"In nets of {records[0].depth} layers classes can be read off the better, the deeper the block: the rank "
        )
        expected.append(rises(text + "correlation of accuracy and place is above 0", rise))
        said.append(expected[-1])
    else:
        said.append("Too few blocks differ to say whether accuracy rises with depth.")
    said += [_course(accuracy(nets)), _half("Half of the answers are", decided(nets)) + "."]
    if (early := combine(nets, lambda one: one.right_earlier, 100, (0, 1))) is not None:
        text = "About half of the wrong answers were right after an earlier block"
        expected.append(Claim(text, early, *ABOUT_HALF, form=".0f", unit=" %"))
        said.append(expected[-1])
    else:
        said.append("No answer is wrong, so that none was right earlier.")
    said += [*_chance(nets), *_ratio(nets), _served(nets)]
    judgement = conclude(expected)
    return judgement if judgement == "contradicted" or len(expected) > 1 else "cannot tell", " ".join(map(str, said))


def _course(read: Mapping[str, float]) -> str:
    """Describes how accuracy rises: where it begins, where it ends, and its largest fall."""
    blocks, values = list(read), np.array(list(read.values()))
    middle = [
        f"{read[one]:.1f} % after {one}"
        for one, after in pairwise(blocks)
        if stage(one) != stage(after) and one != blocks[0]
    ]
    steps = np.diff(values)
    fall = f"the largest fall is {-steps.min():.1f} points, at {blocks[steps.argmin() + 1]}"
    parts = [f"Readouts are right for {values[0]:.1f} % of the images after {blocks[0]}", *middle]
    return (
        f"{', '.join(parts)} and {values[-1]:.1f} % at the end; from one block to the next, "
        f"{fall if steps.min() < 0 else 'accuracy never falls'}."
    )


def _half(words: str, shares: Mapping[str, float]) -> str:
    """Returns by which block half of the answers are decided, as a clause that begins with some words."""
    total = np.cumsum(list(shares.values()))
    return f"{words} decided by {list(shares)[int(np.argmax(total >= 50))]}"


def _chance(nets: Sequence[Inside]) -> Iterator[Claim]:
    if (above := combine(nets, lambda one: one.above_other, 100)) is not None:
        text = "The right class came up earlier in more of them than another wrong class did, so that it is not chance"
        yield rises(text, above, ".0f", " points")


def _ratio(nets: Sequence[Inside]) -> Iterator[Claim | str]:
    if (blocks := combine(nets, lambda one: one.with_ratio)) is not None:
        yield rises("The larger the ratio of a block, the more answers are decided at it: rho is above 0", blocks)
        yield in_random_order(len(accuracy(nets)))
    if (images := combine(nets, lambda one: one.depth_with_ratio)) is not None:
        yield rises("The later an image is decided, the larger its mean ratio: rho over images is above 0", images)


def _served(nets: Sequence[Inside]) -> str:
    """Describes how readouts as served differ: in the last stage, the net's own head reads blocks."""
    fitted, served = accuracy(nets), accuracy(nets, "served")
    worst = min(fitted, key=lambda block: served[block] - fitted[block])
    if served[worst] > fitted[worst] - NOTABLE:
        return (
            "In the last stage the net's own head, which reads it in served models, reads as well as fitted heads do."
        )
    return (
        "In the last stage of served models the net's own head reads, which was trained to read the last block only: "
        f"after {worst} it is right for {served[worst]:.1f} % of the images, a fitted head for {fitted[worst]:.1f} %. "
        f"{_half('As served, half of the answers are', decided(nets, 'served'))}."
    )


def draw(evidence: Evidence) -> Figure:
    """Draws accuracy and decided answers by block, against the ratio, and accuracy for all depths."""
    figure, axes = panels.grid(2, 2)
    if depths := evidence.depths("resnet"):
        records = evidence.select("resnet", depths[-1])
        nets = _insides(records)
        _draw_accuracy(axes[0, 0], nets)
        _draw_decided(axes[0, 1], nets)
        for panel in axes[0]:
            panel.set_title(f"residual, {depths[-1]} layers", pad=18)
        shares = decided(nets)
        ratios = [float(np.mean([record.trained.ratios[block] for record in records])) for block in shares]
        axes[1, 0].plot(ratios, list(shares.values()), "o", color=panels.BLUE)
        axes[1, 0].set_xlabel("ratio  ‖F(x)‖ / ‖s(x)‖")
        axes[1, 0].set_ylabel("answers decided at the block, %")
        _draw_depths(axes[1, 1], evidence)
    return figure


def _draw_accuracy(axes: Axes, nets: Sequence[Inside]) -> None:
    fitted, served = accuracy(nets), accuracy(nets, "served")
    blocks = list(fitted)
    own = [served[block] for block in last_stage(blocks)]
    axes.plot(range(len(blocks)), list(fitted.values()), "o-", color=panels.BLUE, markersize=4, label="fitted heads")
    axes.plot(
        range(len(blocks) - len(own), len(blocks)),
        own,
        "s--",
        color=panels.ORANGE,
        markersize=4,
        label="the net's own head",
    )
    axes.set_ylim(0, 105)
    axes.set_ylabel("accuracy of the readout, %")
    panels.name_blocks(axes, blocks)
    axes.legend(loc="lower right")


def _draw_decided(axes: Axes, nets: Sequence[Inside]) -> None:
    fitted, served = decided(nets), decided(nets, "served")
    axes.bar(range(len(fitted)), list(fitted.values()), width=0.7, color=panels.BLUE, alpha=0.85, label="fitted heads")
    edges = np.arange(len(served) + 1) - 0.5
    axes.stairs(list(served.values()), edges, baseline=None, color=panels.ORANGE, linewidth=1.6, label="as served")
    axes.set_ylabel("answers decided at the block, %")
    panels.name_blocks(axes, list(fitted))
    axes.legend()


def _draw_depths(axes: Axes, evidence: Evidence) -> None:
    depths = evidence.depths("resnet")
    for depth, shade in zip(depths, np.linspace(0.3, 1, len(depths)) if len(depths) > 1 else [1.0], strict=True):
        values = list(accuracy(_insides(evidence.select("resnet", depth))).values())
        axes.plot(np.linspace(0, 1, len(values)), values, ".-", color=panels.BLUE, alpha=shade, label=str(depth))
    axes.set_xlabel("block, from first (0) to last (1)")
    axes.set_ylabel("accuracy of the readout, %")
    axes.legend(title="layers")
