"""Block statistics, models and data-set results that no server made."""

from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import resprobe
from resprobe._results.model import Baseline, Block, Model
from resprobe._results.statistics import STATISTICS
from resprobe.analysis import Frame


def make(per_stage: int, images: int, baseline: bool = True) -> tuple[resprobe.BlockStatistics, Model]:
    quantiles = MappingProxyType({0.1: 0.2, 0.5: 0.3, 0.9: 0.5})
    known = MappingProxyType({"ratio": Baseline(0.3, quantiles)} if baseline else {})
    blocks = tuple(
        Block(f"stage{stage}.block{index}", stage, index, 16, 8, 8, 1, "identity", None, known)
        for stage in (1, 2, 3)
        for index in range(per_stage)
    )
    model = Model(
        "net", "1", "resnet", 6 * per_stage + 2, 0, 8, 8, 1, ("a", "b"), None, "digits", 9, (), blocks,
        "CPUExecutionProvider", True, True, False, 8,
    )  # fmt: skip
    noise = np.random.default_rng(0).uniform(0.1, 1, (images, len(blocks))).astype(np.float32)
    names = [block.name for block in blocks]
    return resprobe.BlockStatistics(names, *(noise.copy() for _ in STATISTICS)), model


def frame(per_stage: int, images: int = 40) -> Frame:
    """Random ratios; labels and predictions are half right."""
    blocks, model = make(per_stage, images)
    labels = np.arange(images) % 2
    ones = np.ones(images, np.float32)
    return Frame(model, "digits", np.arange(images), None, labels, np.zeros(images, np.int64), ones, blocks)


def assert_same(found: Frame, expected: Frame) -> None:
    """Fails unless two frames are equal to the last bit."""
    assert (found.model, found.dataset, found.notes) == (expected.model, expected.dataset, expected.notes)
    assert (found.files, found.blocks.names) == (expected.files, expected.blocks.names)
    for name in ("index", "labels", "predicted", "probability", "depth"):
        assert _bits(getattr(found, name)) == _bits(getattr(expected, name)), name
    for name in STATISTICS:
        assert _bits(getattr(found.blocks, name)) == _bits(getattr(expected.blocks, name)), name


def _bits(values: npt.NDArray[Any] | None) -> tuple[str, bytes] | None:
    return None if values is None else (str(values.dtype), values.tobytes())
