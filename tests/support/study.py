"""The smallest study, and records of nets that were never trained."""

from collections.abc import Mapping, Sequence

import numpy as np
from resprobe_exporter.study import StudyPlan, default_recipe
from resprobe_exporter.study.evidence import Evidence
from resprobe_exporter.study.inside import Correlation, Decisions, Inside
from resprobe_exporter.study.inside.findings import COSTS, STATISTICS
from resprobe_exporter.study.plan import Family
from resprobe_exporter.study.record import Record, Snapshot
from resprobe_exporter.study.statistics import Estimate

TINY = StudyPlan(
    default_recipe("digits", 1),
    depths=(8, 14),
    seeds=1,
    limit=60,
    lesion_limit=60,
    gradient_images=32,
    head_images=100,
)
Numbers = Mapping[str, float | None]


def make_record(
    family: Family,
    depth: int,
    seed: int,
    error: float = 0.0,
    gap: float = 0.0,
    response: float = 1.0,
    ratio: float = 0.5,
    untrained: float = 0.5,
    slope: float = 1.0,
    cost: float = 1.0,
    **inside: float | None,
) -> Record:
    """A net with these numbers, a little different for each seed.

    `slope` is the first over the last gradient, `inside` what `make_inside` takes.
    """
    error, response = error + 1e-4 * seed, response + 1e-3 * seed
    blocks = [f"stage{stage}.block{index}" for stage in (1, 2, 3) for index in range((depth - 2) // 6)]
    layers = ["conv1", *(f"{block}.conv{place}" for block in blocks for place in (1, 2))]
    spread = np.linspace(0.9, 1.1, len(blocks))
    by_block = dict(zip(blocks, spread, strict=True)) if family == "resnet" else {}

    def state(ratio: float) -> Snapshot:
        sizes = {name: (ratio + 1e-3 * seed) * one for name, one in by_block.items()}
        return Snapshot(error, error + gap, 1.0, 1.0, dict.fromkeys(layers, response), sizes)

    norms = dict(zip(layers, np.geomspace(slope, 1, len(layers)).tolist(), strict=True))
    lost = {name: 0.9 - 0.1 * cost * (one - 0.8) for name, one in by_block.items()}
    moments = dict.fromkeys(("initial", "early", "late"), norms)
    return Record(
        family,
        depth,
        seed,
        state(untrained),
        state(ratio),
        moments,
        dict.fromkeys(layers, 1.0),
        [0.5, error],
        lost,
        0.9,
        make_inside(list(by_block), seed, **inside) if by_block else None,
        1,
    )


def make_inside(
    blocks: Sequence[str],
    seed: int,
    rise: float | None = 0.9,
    early: float | None = 0.5,
    own: float | None = 0.0,
    influence: float | None = 0.9,
) -> Inside:
    """The inside of a net with these numbers.

    `rise` is the rank correlation of accuracy and place, `early` the share of wrong answers that were right earlier,
    `own` the accuracy by which the net's own head reads the last stage's first block worse than a fitted one does, and
    `influence` the rank correlation of the influence and what lesions cost; that of other statistics is less by 0.1.
    If `influence` is None, there are too few blocks.
    """

    def around(value: float | None) -> Estimate | None:
        return None if value is None else Estimate(value + 1e-3 * seed, value - 0.01, value + 0.01, (100,))

    accuracy = dict(zip(blocks, np.linspace(0.3, 0.9, len(blocks)).tolist(), strict=True))
    even = dict.fromkeys(blocks, 1 / len(blocks))
    served = {name: one - (own or 0) * (name == "stage3.block0") for name, one in accuracy.items()}
    correlations = [
        Correlation(cost, all_blocks, name, rho, Estimate(gap, gap - 0.01, gap + 0.01, (100,)))
        for cost in COSTS
        for all_blocks in (True, False)
        for name in STATISTICS
        for gap in [0.0 if name == "influence" else -0.1]
        if influence is not None and (rho := around(influence + gap)) is not None
    ]
    found = [around(value) for value in (rise, 0.1, 0.1, early, None if early is None else early - 0.3)]
    return Inside(
        {"fitted": Decisions(accuracy, even, *found), "served": Decisions(served, even, *found)},
        {name: accuracy for name in STATISTICS},
        accuracy,
        correlations,
    )


def nets(plain: Sequence[Numbers], resnet: Sequence[Numbers], depths: Sequence[int] = (20, 56)) -> Evidence:
    """Three seeds of plain and residual nets with these numbers, one mapping for each depth."""
    families: Mapping[Family, Sequence[Numbers]] = {"plain": plain, "resnet": resnet}
    return Evidence(
        tuple(
            make_record(family, depth, seed, **numbers)  # type: ignore[arg-type]
            for family, all_numbers in families.items()
            for depth, numbers in zip(depths, all_numbers, strict=False)
            for seed in range(3)
        ),
        "digits",
    )
