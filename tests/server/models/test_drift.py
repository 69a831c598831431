"""Drift of live images: rarely a false alarm, by simulation, and an alarm soon after a shift."""

import numpy as np
import numpy.typing as npt
import pytest
from resprobe_protos import resprobe_pb2 as pb
from resprobe_server.models.sampling.drift import ALPHA, WINDOW, Window, limit

PROBABILITIES = np.linspace(0, 1, 101)
BLOCKS, IMAGES = 9, 2000


def described(quantiles: npt.NDArray[np.float64], images: int = IMAGES) -> pb.Model:
    """A model whose blocks all have these quantiles."""
    ratio = pb.BaselineStatistic(quantiles=quantiles.tolist())
    blocks = [pb.Block(name=f"block{place}", baseline={"ratio": ratio}) for place in range(BLOCKS)]
    baseline = pb.BaselineInfo(image_count=images, probabilities=PROBABILITIES.tolist())
    return pb.Model(baseline=baseline, blocks=blocks)


def false_alarms(windows: int, seed: int) -> int:
    """Counts the windows with an alarm among those whose images are distributed as the baseline's.

    Ten windows share a baseline. The shares of the distribution between the quantiles of a sample are those of
    Dirichlet's distribution (Rényi 1953), and the images of a window fall between them accordingly.
    """
    generator, found = np.random.default_rng(seed), 0
    for _ in range(windows // 1000):
        shares = generator.standard_gamma(IMAGES / 100, (100, BLOCKS, 100))
        shares /= shares.sum(axis=2, keepdims=True)
        counts = generator.multinomial(WINDOW, shares, (10, 100, BLOCKS)).cumsum(axis=3) / WINDOW
        distance = np.abs(counts - PROBABILITIES[1:]).max(axis=(2, 3))
        found += int((distance >= limit(IMAGES, BLOCKS)).sum())
    return found


def test_false_alarms_are_rarer_than_one_window_in_ten_thousand() -> None:
    assert false_alarms(20_000, 0) <= 2  # of 20,000; one in 10,000 would be 2


@pytest.mark.long
def test_false_alarms_in_many_windows() -> None:
    assert false_alarms(200_000, 1) <= 200_000 * ALPHA


def test_the_window_slides_over_a_shift() -> None:
    generator = np.random.default_rng(0)
    model = described(np.quantile(generator.lognormal(-1, 0.5, IMAGES), PROBABILITIES))
    window = Window(BLOCKS)
    window.add(generator.lognormal(-1, 0.5, (WINDOW - 1, BLOCKS)))
    assert window.drift(model) is None  # not full
    window.add(generator.lognormal(-1, 0.5, (1, BLOCKS)))
    found = window.drift(model)
    assert found is not None
    assert found.blocks == tuple(f"block{place}" for place in range(BLOCKS))
    assert not found.alarm
    delay = 0
    while not found.alarm:  # half of the images move past the baseline's median
        window.add(generator.lognormal(-0.5, 0.5, (10, BLOCKS)))
        found, delay = window.drift(model), delay + 10
        assert found is not None
        assert delay <= WINDOW
    assert 50 <= delay <= 300
    window.add(generator.lognormal(-1, 0.5, (2 * WINDOW, BLOCKS)))
    found = window.drift(model)
    assert found is not None
    assert not found.alarm


def test_blocks_without_a_baseline_are_left_out() -> None:
    model = described(np.quantile(np.random.default_rng(0).random(IMAGES), PROBABILITIES))
    model.blocks[1].ClearField("baseline")
    model.blocks[2].baseline["ratio"].quantiles[0] = float("nan")
    window = Window(BLOCKS)
    window.add(np.full((WINDOW, BLOCKS), np.nan))  # beyond all quantiles
    found = window.drift(model)
    assert found is not None
    assert len(found.blocks) == BLOCKS - 2
    assert set(found.distances) == {1.0}
    assert window.drift(pb.Model(blocks=model.blocks)) is None
    assert limit(0, BLOCKS) < limit(IMAGES, BLOCKS) < limit(100, BLOCKS)
