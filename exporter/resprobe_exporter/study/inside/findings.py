"""Findings about the inside of one net, as a record keeps them: values that JSON can hold, and back again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from resprobe_exporter.study.statistics import Estimate

Statistic = Literal["ratio", "1 − cosine", "influence", "readout change"]
STATISTICS: tuple[Statistic, ...] = ("ratio", "1 − cosine", "influence", "readout change")
Cost = Literal["accuracy", "loss"]
COSTS: tuple[Cost, ...] = ("accuracy", "loss")
Reading = Literal["fitted", "served"]


@dataclass(frozen=True)
class Decisions:
    """How the answers of a net develop from block to block, over n test images.

    Attributes:
        accuracy: Share of images for which the readout after each block is right; the last is the net's own answer.
        decided: Share of images whose prediction depth is at each block (Baldock et al. 2021, arXiv 2106.09647).
        rise: Spearman's rank correlation between the accuracy after a block and the block's place.
        with_ratio: That between the share of answers decided at a block and the block's mean ratio.
        depth_with_ratio: That between an image's prediction depth and its mean ratio over blocks, over images.
        right_earlier: Share of wrong answers that were right after an earlier block. If None, no answer is wrong.
        above_other: That share minus the share that a class which is neither right nor the answer has on average. If
            None, no answer is wrong, or there are fewer than three classes.
    """

    accuracy: Mapping[str, float]
    decided: Mapping[str, float]
    rise: Estimate | None
    with_ratio: Estimate | None
    depth_with_ratio: Estimate | None
    right_earlier: Estimate | None
    above_other: Estimate | None


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation over blocks, between what a block's removal costs and a statistic of the block.

    Attributes:
        cost: What the removal costs: accuracy lost, or the rise of the mean cross-entropy.
        all_blocks: Whether over all blocks. If not, over those that keep the shape.
        statistic: Statistic, mean over images.
        rho: The correlation, with an interval over images.
        above_influence: The correlation minus that of the influence, with an interval over images.
    """

    cost: Cost
    all_blocks: bool
    statistic: Statistic
    rho: Estimate
    above_influence: Estimate


@dataclass(frozen=True)
class Inside:
    """Findings about the inside of one residual net.

    Attributes:
        decisions: How answers develop: read by `fitted` heads before the last block, or as `served`, by fitted heads
            before the last stage and by the net's own head in it.
        statistics: Mean of each statistic over the images of the lesions, for each block.
        loss: Rise of the mean cross-entropy without each block, in nats.
        correlations: Correlations of both costs with all statistics, as far as blocks differ.
    """

    decisions: Mapping[Reading, Decisions]
    statistics: Mapping[Statistic, Mapping[str, float]]
    loss: Mapping[str, float]
    correlations: Sequence[Correlation]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Inside":
        """Creates findings from the JSON of `dataclasses.asdict`."""
        return cls(
            {reading: Decisions(**_with_estimates(one)) for reading, one in content["decisions"].items()},
            content["statistics"],
            content["loss"],
            tuple(Correlation(**_with_estimates(one)) for one in content["correlations"]),
        )


def _with_estimates(content: Mapping[str, Any]) -> dict[str, Any]:
    estimates = ("rise", "with_ratio", "depth_with_ratio", "right_earlier", "above_other", "rho", "above_influence")
    return {
        name: Estimate(**{**value, "n": tuple(value["n"])}) if name in estimates and value is not None else value
        for name, value in content.items()
    }
