"""Where blocks stand in their net: relative depth, and the ratio of one net at the depths of another's blocks."""

import numpy as np
import numpy.typing as npt

from resprobe._results.model import Model
from resprobe.analysis.dataset_result import Frame

FIRST, SPAN = 0.1, 0.8  # of a stage's part: where its first block stands, and how far away its last
NEAR = 1e-9  # depths that differ by less are one
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


def stages(model: Model) -> int:
    """Returns the number of stages of a model."""
    return len({block.stage for block in model.blocks})


def positions(model: Model, by_stage: bool) -> Floats:
    """Returns the relative depth of each block, float64 [L], in (0, 1).

    Args:
        model: Model with L blocks.
        by_stage: Whether each stage has an equal part, with its first block at 0.1 and its last at 0.9 of it, so that
            first and last blocks of all nets fall on each other. If not, block k is at (k + 1/2) / L.
    """
    count = len(model.blocks)
    if not by_stage:
        return (np.arange(count) + 0.5) / count
    found, members = np.empty(count), _members(model, by_stage)
    for place, blocks in enumerate(members):
        within = np.arange(len(blocks)) / max(1, len(blocks) - 1)
        found[blocks] = (place + FIRST + SPAN * within) / len(members)
    return found


def ratio_at(frame: Frame, short: Model, by_stage: bool) -> Floats:
    """Returns the ratio of every image at the depths of a shallower model's P blocks, interpolated linearly: [n, P]."""
    values = frame.blocks.ratio.astype(np.float64)
    depth, own = positions(short, by_stage), positions(frame.model, by_stage)
    found = np.empty((len(values), len(depth)))
    for wanted, known in zip(_members(short, by_stage), _members(frame.model, by_stage), strict=True):
        found[:, wanted] = _interpolate(values[:, known], own[known], depth[wanted])
    return found


def _interpolate(values: Floats, own: Floats, wanted: Floats) -> Floats:
    """Returns values [n, K] at depths `own` [K] as values at depths `wanted` [Q]: [n, Q]."""
    right = np.clip(np.searchsorted(own, wanted - NEAR), 0, len(own) - 1)
    left = np.maximum(right - 1, 0)
    span = np.where(right > left, own[right] - own[left], 1)
    share = np.clip(np.where(right > left, (wanted - own[left]) / span, 0), 0, 1)
    share = np.where(np.abs(share - share.round()) < NEAR, share.round(), share)
    low, high = values[:, left], values[:, right]
    # A value without a share is left out, so that one that is not finite spoils nothing.
    between: Floats = np.where(share == 0, low, np.where(share == 1, high, low * (1 - share) + high * share))
    return between


def _members(model: Model, by_stage: bool) -> list[Places]:
    """Returns the places of the blocks that are interpolated between: those of each stage, or all."""
    names = np.array([block.stage for block in model.blocks])
    if not by_stage:
        return [np.arange(len(names))]
    return [np.flatnonzero(names == stage) for stage in dict.fromkeys(names.tolist())]
