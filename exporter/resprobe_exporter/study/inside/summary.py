"""Summaries of how the answers of several nets of one shape develop from block to block."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from resprobe_exporter.study.inside.findings import Decisions, Inside, Reading
from resprobe_exporter.study.statistics import Estimate, over_nets


def combine(
    nets: Sequence[Inside],
    get: Callable[[Decisions], Estimate | None],
    factor: float = 1,
    limits: tuple[float, float] = (-1, 1),
) -> Estimate | None:
    """Returns a number between two limits of what fitted heads read, times a factor, with an interval over nets.

    A single net has its interval over images. If None, no net has the number.
    """
    found = [one for net in nets if (one := get(net.decisions["fitted"])) is not None]
    return over_nets(found, limits).times(factor) if found else None


def accuracy(nets: Sequence[Inside], reading: Reading = "fitted") -> dict[str, float]:
    """Returns the accuracy after each block in per cent, mean over nets."""
    return _means([net.decisions[reading].accuracy for net in nets])


def decided(nets: Sequence[Inside], reading: Reading = "fitted") -> dict[str, float]:
    """Returns the share of answers that is decided at each block in per cent, mean over nets."""
    return _means([net.decisions[reading].decided for net in nets])


def stage(block: str) -> str:
    """Returns the name of a block's stage."""
    return block.partition(".")[0]


def last_stage(blocks: Sequence[str]) -> list[str]:
    """Returns the blocks of the last stage."""
    return [block for block in blocks if stage(block) == stage(blocks[-1])]


def stage_ends(blocks: Sequence[str]) -> list[str]:
    """Returns the last block of each stage."""
    return [block for block, after in zip(blocks, [*blocks[1:], ""], strict=True) if stage(block) != stage(after)]


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {block: float(100 * np.mean([one[block] for one in found])) for block in found[0]}
