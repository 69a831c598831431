"""Does the ratio tell how much a block matters? Accuracy lost without it (Veit et al. 2016) against its ratio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from resprobe_exporter.study import figures, panels
from resprobe_exporter.study.evidence import Answer, Evidence, Number, Outcome, Question, Row
from resprobe_exporter.study.record import Record
from resprobe_exporter.study.statistics import Estimate, mean, rank_correlation
from resprobe_exporter.study.verdict import Claim, conclude, rises, shown

SMALL = 5.0  # points of accuracy; a smaller loss is hardly anything

QUESTION = Question(
    key="lesions",
    text="Does the ratio tell how much a block matters?",
    expectation=(
        "If F(x) is small, the net should do without it. Veit et al. (2016) removed single blocks of a trained "
        "110-layer residual net: hardly anything happened, except at blocks that change the shape. If the ratio "
        "measures what a block does, the loss should grow with it: rho > 0."
    ),
    experiment=(
        "Test accuracy with the branch of one block left out, for every block of every residual net; Spearman's "
        "rank correlation between ratio and accuracy lost over the blocks of the deepest nets, both averaged over "
        "seeds, with a bootstrap interval over blocks."
    ),
    caption=(
        "Accuracy lost without one block of the deepest residual nets, mean over nets: by place, and against the "
        "block's ratio."
    ),
)


@dataclass(frozen=True)
class Lesion:
    """A block of the nets of one depth, averaged over seeds.

    Attributes:
        block: Name of the block.
        ratio: Mean ratio of the block.
        lost: Accuracy lost without the block, in points.
    """

    block: str
    ratio: float
    lost: float

    @property
    def changes_shape(self) -> bool:
        """Whether the block changes the shape, so that its shortcut is not the identity."""
        return changes_shape(self.block)


def changes_shape(block: str) -> bool:
    """Returns whether a block's output has another shape than its input: the first block of stages 2 and 3."""
    return block.endswith(".block0") and not block.startswith("stage1.")


def lost(record: Record, block: str) -> float:
    """Returns the accuracy lost without a block, in points."""
    return 100 * (record.lesion_accuracy - record.lesions[block])


def average(records: Sequence[Record]) -> list[Lesion]:
    """Averages the blocks of nets of one depth over the nets."""
    return [
        Lesion(
            block,
            float(np.mean([record.trained.ratios[block] for record in records])),
            float(np.mean([lost(record, block) for record in records])),
        )
        for block in records[0].lesions
    ]


def correlation(blocks: Sequence[Lesion]) -> Estimate | None:
    """Returns Spearman's rank correlation between ratio and accuracy lost."""
    return rank_correlation([one.ratio for one in blocks], [one.lost for one in blocks])


def answer(evidence: Evidence) -> Answer:
    """Answers from the lesions of the deepest residual nets."""
    depths = evidence.depths("resnet")
    blocks = average(evidence.select("resnet", depths[-1])) if depths else []
    same = [one for one in blocks if not one.changes_shape]
    rhos = {
        "all blocks": correlation(blocks),
        "without those that change the shape": correlation(same),
    }
    outcome, verdict = _verdict(evidence.select("resnet", depths[-1]) if depths else [], rhos["all blocks"])
    numbers = [
        *(
            Number(f"Spearman's rank correlation, {depths[-1]} layers, {name}", rho)
            for name, rho in rhos.items()
            if rho is not None
        ),
        *evidence.numbers("accuracy lost by one lesion, mean over blocks", _mean_lost, "points", ("resnet",)),
    ]
    return QUESTION.answered(outcome, verdict, numbers, _rows(evidence))


def _rows(evidence: Evidence) -> Iterator[Row]:
    yield from (
        {"depth": record.depth, "seed": record.seed, "block": block, "changes_shape": changes_shape(block)}
        | {"ratio": record.trained.ratios[block], "accuracy": accuracy, "intact": record.lesion_accuracy}
        for record in evidence.family("resnet")
        for block, accuracy in record.lesions.items()
    )


def _verdict(records: Sequence[Record], rho: Estimate | None) -> tuple[Outcome, str]:
    if not records:
        return "unanswered", "This cannot be answered: there are no residual nets."
    lead = f"In nets of {records[0].depth} layers"
    worst = {changes: mean([_largest(record, changes) for record in records]) for changes in (False, True)}
    cheap = Claim(
        f"{lead} the removal of any block that keeps the shape costs hardly anything, less than {SMALL:.0f} points of "
        "accuracy for the one that costs most",
        worst[False],
        high=SMALL,
        form=".2f",
        unit=" points",
    )
    said: list[Claim | str] = [
        cheap,
        f"Of those that change the shape, the one that costs most costs {shown(worst[True], unit=' points')}.",
    ]
    if rho is None:
        said.append("Too few blocks differ for a rank correlation.")
        return "cannot tell", " ".join(map(str, said))
    grows = rises("The larger the ratio of a block, the more its removal costs: rho is above 0", rho)
    return conclude([cheap, grows]), " ".join(map(str, [*said, grows]))


def _largest(record: Record, changes: bool) -> float:
    """Returns the largest loss of accuracy by one block, in points, among those that change the shape or keep it."""
    return max(lost(record, block) for block in record.lesions if changes_shape(block) == changes)


def _mean_lost(record: Record) -> float:
    return float(mean([lost(record, block) for block in record.lesions]).value)


def draw(evidence: Evidence) -> Figure:
    """Draws the accuracy lost by block, and against the ratio."""
    figure, axes = panels.grid(1, 2)
    if depths := evidence.depths("resnet"):
        blocks = average(evidence.select("resnet", depths[-1]))
        names = [one.block for one in blocks]
        figures.lost_by_block(axes[0, 0], names, [one.lost for one in blocks])
        axes[0, 0].set_title(f"residual, {depths[-1]} layers", pad=18)
        figures.lost_by_ratio(axes[0, 1], [(one.ratio, one.lost, one.changes_shape) for one in blocks])
    return figure
