"""The smallest study, and records of nets that were never trained."""

from collections.abc import Mapping, Sequence

import numpy as np
from resprobe_exporter.study import StudyPlan, default_recipe
from resprobe_exporter.study.evidence import Evidence
from resprobe_exporter.study.plan import Family
from resprobe_exporter.study.record import Record, Snapshot

TINY = StudyPlan(default_recipe("digits", 1), depths=(8, 14), seeds=1, limit=60, lesion_limit=60, gradient_images=32)


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
) -> Record:
    """A net with these numbers, a little different for each seed; `slope` is the first over the last gradient."""
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
        1,
    )


def nets(
    plain: Sequence[Mapping[str, float]], resnet: Sequence[Mapping[str, float]], depths: Sequence[int] = (20, 56)
) -> Evidence:
    """Three seeds of plain and residual nets with these numbers, one mapping for each depth."""
    families: Mapping[Family, Sequence[Mapping[str, float]]] = {"plain": plain, "resnet": resnet}
    return Evidence(
        tuple(
            make_record(family, depth, seed, **numbers)
            for family, all_numbers in families.items()
            for depth, numbers in zip(depths, all_numbers, strict=False)
            for seed in range(3)
        ),
        "digits",
    )
