"""Which cheap statistic predicts what a lesion costs? Rank correlations over blocks, one pass against many."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resprobe_exporter.study import panels
from resprobe_exporter.study.evidence import Answer, Evidence, Number, Outcome, Question, Row
from resprobe_exporter.study.inside import Correlation
from resprobe_exporter.study.inside.findings import COSTS, STATISTICS, Cost, Statistic
from resprobe_exporter.study.questions.lesions import changes_shape, lost
from resprobe_exporter.study.questions.residual import of_deepest
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, over_nets, rank_correlation_by_chance
from resprobe_exporter.study.verdict import Claim, conclude, rises

STRONG = 0.7
COST: dict[Cost, str] = {"accuracy": "accuracy lost", "loss": "rise of the cross-entropy"}
LOOK: dict[Cost, tuple[str, str]] = {"accuracy": (panels.BLUE, "o"), "loss": (panels.ORANGE, "s")}
NAMES: dict[Statistic, str] = {
    "ratio": "ratio  ‖F(x)‖ / ‖s(x)‖",
    "1 − cosine": "1 − cos(F, s)",
    "influence": "influence, 1 − cos(s, s + F)",
    "readout change": "change of the readout",
}

QUESTION = Question(
    key="proxies",
    text="Which cheap statistic predicts what a lesion costs?",
    expectation=(
        "To remove every block takes a pass for each; statistics of all blocks take one pass in all. Layers of "
        "language models are ranked by their influence 1 − cos(s, s + F) (Men et al. 2024), and Hinostroza et al. "
        "(2026) found that it goes only weakly or moderately with what a removal costs. If that holds here too, its "
        f"rank correlation with the loss of accuracy is below {STRONG}."
    ),
    experiment=(
        "For each block of the residual nets, mean over test images: the ratio; 1 − cos(F, s), which is small where "
        "the branch points along the shortcut; the influence, which is small where the block hardly turns what passes; "
        "and the change of the readout, the total variation between the probabilities of the classes that fitted heads "
        "read before and after the block. Against them, on the same images, the accuracy lost without the block and "
        "the rise of the mean cross-entropy: Spearman's rank correlation over the blocks of each of the deepest nets. "
        "It needs at least five blocks. Plain nets have no blocks and are left out."
    ),
    caption=(
        "Accuracy lost without each block of the deepest residual nets against four statistics, mean over nets. Right: "
        "rank correlations with both costs; pale points are nets, bars 95 % intervals, over nets or, for a single net, "
        "over its images."
    ),
)


def combine(
    records: Sequence[Record],
    cost: Cost,
    all_blocks: bool,
    statistic: Statistic,
    get: Callable[[Correlation], Estimate] = lambda one: one.rho,
) -> Estimate | None:
    """Returns a correlation of several nets, with an interval over nets, or that of a single net over its images.

    If None, it is not known of any of the nets.
    """
    found = [get(one) for record in records for one in _chosen(record, cost, all_blocks) if one.statistic == statistic]
    return over_nets(found, (-2, 2) if get is _above_influence else (-1, 1)) if found else None


def _chosen(record: Record, cost: Cost, all_blocks: bool) -> list[Correlation]:
    return [one for one in record.look_inside().correlations if one.cost == cost and one.all_blocks == all_blocks]


def _above_influence(one: Correlation) -> Estimate:
    return one.above_influence


def answer(evidence: Evidence) -> Answer:
    """Answers from the lesions and the statistics of the deepest residual nets."""
    return of_deepest(QUESTION, evidence, _verdict, _numbers, _rows)


def _numbers(records: Sequence[Record]) -> Iterator[Number]:
    for all_blocks in (True, False):
        which = "all blocks" if all_blocks else "blocks that keep the shape"
        for cost in COSTS:
            for statistic in STATISTICS:
                if (rho := combine(records, cost, all_blocks, statistic)) is not None:
                    label = f"rho of {COST[cost]} and {statistic}, {which}, {records[0].depth} layers"
                    yield Number(label, rho)


def _rows(evidence: Evidence) -> Iterator[Row]:
    for record in evidence.family("resnet"):
        found = record.look_inside()
        for block in record.lesions:
            yield {
                "depth": record.depth,
                "seed": record.seed,
                "block": block,
                "changes_shape": changes_shape(block),
                "accuracy_lost": lost(record, block) / 100,
                "loss_rise": found.loss[block],
                **{
                    statistic.replace("1 − ", "one_minus_").replace(" ", "_"): found.statistics[statistic][block]
                    for statistic in STATISTICS
                },
            }


def _verdict(records: Sequence[Record]) -> tuple[Outcome, str]:
    rhos = {one: rho for one in STATISTICS if (rho := combine(records, "accuracy", True, one)) is not None}
    lead = f"In nets of {records[0].depth} layers"
    if "influence" not in rhos:
        return "cannot tell", f"{lead} too few blocks differ for a rank correlation: it needs at least five."
    poor = Claim(
        f"{lead} the influence goes only weakly or moderately with the accuracy that a removal costs, below {STRONG}",
        rhos["influence"],
        high=STRONG,
    )
    said: list[Claim | str] = [poor]
    best = max(rhos, key=lambda one: rhos[one].value)
    said.append(f"Of the {len(rhos)} statistics, the {best} has the largest rank correlation.")
    if best != "influence":
        above = combine(records, "accuracy", True, best, _above_influence)
        if above is not None:
            said.append(
                rises(
                    "It predicts better than the influence, as the best of four: the difference of rho is above 0",
                    above,
                )
            )
    said += [
        rises(f"The larger the {one}, the more accuracy the removal costs: rho is above 0", rho)
        for one, rho in rhos.items()
    ]
    said.append(in_random_order(len(records[0].lesions)))
    said += _others(records)
    return conclude([poor]), " ".join(map(str, said))


def in_random_order(blocks: int) -> str:
    """Returns a sentence on what rank correlation over blocks is nothing special."""
    limit = rank_correlation_by_chance(blocks)
    return f"{blocks} blocks in random order reach a rho of {limit:.2f} or -{limit:.2f} once in 20 times."


def _others(records: Sequence[Record]) -> Iterator[str]:
    """Yields sentences on blocks that keep the shape, and on the cross-entropy."""
    others: Sequence[tuple[Cost, bool, str]] = (
        ("accuracy", False, "Among blocks that keep the shape"),
        ("loss", True, "With the rise of the cross-entropy instead of accuracy"),
    )
    for cost, all_blocks, words in others:
        rhos = {one: rho for one in STATISTICS if (rho := combine(records, cost, all_blocks, one)) is not None}
        if rhos:
            yield (f"{words} rho is " + ", ".join(f"{rho.value:+.2f} for the {one}" for one, rho in rhos.items()) + ".")


def draw(evidence: Evidence) -> Figure:
    """Draws the accuracy lost against each statistic, and the rank correlations."""
    figure, axes = panels.grid(2, 3)
    if depths := evidence.depths("resnet"):
        records = evidence.select("resnet", depths[-1])
        for panel, statistic in zip(axes[:, :2].flat, STATISTICS, strict=True):
            _draw_blocks(panel, records, statistic)
        axes[0, 0].legend(title="a block that")
        for panel, all_blocks in zip(axes[:, 2], (True, False), strict=True):
            _draw_correlations(panel, records, all_blocks)
        if axes[0, 2].get_legend_handles_labels()[0]:
            axes[0, 2].legend(loc="lower center")
    return figure


def _draw_blocks(axes: Axes, records: Sequence[Record], statistic: Statistic) -> None:
    blocks = list(records[0].lesions)
    x = {block: np.mean([record.look_inside().statistics[statistic][block] for record in records]) for block in blocks}
    y = {block: np.mean([lost(record, block) for record in records]) for block in blocks}
    for changes, colour, mark, label in (
        (False, panels.BLUE, "o", "keeps the shape"),
        (True, panels.ORANGE, "D", "changes the shape"),
    ):
        chosen = [block for block in blocks if changes_shape(block) == changes]
        axes.plot([x[one] for one in chosen], [y[one] for one in chosen], mark, color=colour, label=label)
    axes.set_yscale("symlog", linthresh=1)
    panels.set_ticks(axes.yaxis, (-1, 0, 0.5, 1, 2, 5, 10, 20, 50, 100))
    axes.set_xlabel(NAMES[statistic])
    axes.set_ylabel("accuracy lost, points")


def _draw_correlations(axes: Axes, records: Sequence[Record], all_blocks: bool) -> None:
    for shift, cost in zip((-0.12, 0.12), COSTS, strict=True):
        (colour, mark), label = LOOK[cost], COST[cost]
        for place, statistic in enumerate(STATISTICS):
            rho = combine(records, cost, all_blocks, statistic)
            if rho is None:
                continue
            own = [one.rho.value for record in records for one in _chosen(record, cost, all_blocks)
                   if one.statistic == statistic]  # fmt: skip
            x = place + shift
            axes.plot([x] * len(own), own, mark, color=colour, alpha=0.3, markersize=4, markeredgewidth=0)
            axes.plot(x, rho.value, mark, color=colour, label=label)
            label = "_again"
            if rho.low is not None and rho.high is not None:
                axes.vlines(x, rho.low, rho.high, color=colour)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylim(-1.6, 1.05)  # room for the legend
    panels.set_ticks(axes.yaxis, (-1, -0.5, 0, 0.5, 1))
    axes.set_xlim(-0.5, len(STATISTICS) - 0.5)
    axes.set_xticks(range(len(STATISTICS)), ["ratio", "1 − cos", "influence", "readout"], fontsize=8)
    axes.set_ylabel("rank correlation")
    axes.set_title("all blocks" if all_blocks else "blocks that keep the shape")
