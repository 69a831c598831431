"""The queueing simulation agrees with closed forms of its special cases."""

import numpy as np
import pytest
from fleet.plan import Assumptions, rows
from fleet.simulation import Choice, Server, Simulation

REQUESTS = 60_000


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_one_image_at_a_time_is_m_d_1(load: float) -> None:
    """Pollaczek and Khinchine: the mean wait is load · D / 2 (1 − load)."""
    found = Simulation(Server(0.01, 0.0, max_batch=1)).open_loop(load / 0.01, REQUESTS).latencies.mean()
    assert found == pytest.approx(0.01 + load * 0.01 / (2 * (1 - load)), rel=0.06)


@pytest.mark.parametrize("load", [0.1, 1.0, 5.0])
def test_batches_of_any_size_in_a_constant_time(load: float) -> None:
    """A batch takes all that arrived in the time S of the last; with probability exp(−λS) that is nothing.

    Then the next request is alone and waits S, while those that arrive during a batch wait 3/2 S on average.
    """
    time, rate = 0.01, load / 0.01
    alone = np.exp(-load)
    expected = (load * 1.5 * time + alone * time) / (load + alone)
    found = Simulation(Server(time, 0.0, max_batch=10**6)).open_loop(rate, REQUESTS)
    assert found.latencies.mean() == pytest.approx(expected, rel=0.02)
    assert found.batches.mean() == pytest.approx(rate * (time + alone / rate), rel=0.02)


def test_the_front_end_alone_is_m_d_1_too() -> None:
    found = Simulation(Server(0.0, 0.0, front=0.01, max_batch=1)).open_loop(70, REQUESTS).latencies.mean()
    assert found == pytest.approx(0.01 + 0.7 * 0.01 / 0.6, rel=0.06)


@pytest.mark.parametrize("front", [0.0, 0.001])
def test_no_more_than_the_capacity_is_answered(front: float) -> None:
    server = Server(0.004, 0.0005, front, max_batch=32)
    assert server.capacity == pytest.approx(32 / 0.02 if not front else 1000)
    assert Simulation(server).closed_loop(64, 20_000).rate == pytest.approx(server.capacity, rel=0.02)
    assert Simulation(server, 3, "round_robin").closed_loop(192, 20_000).rate == pytest.approx(
        3 * server.capacity, rel=0.02
    )


def test_one_caller_waits_for_all_of_its_request() -> None:
    found = Simulation(Server(0.004, 0.001, 0.002)).closed_loop(1, 100, pause=0.003)
    assert found.latencies == pytest.approx(0.007)
    assert found.rate == pytest.approx(100, rel=0.02)


def test_the_less_busy_of_two_is_better_than_any() -> None:
    server, slowest = Server(0.01, 0.0, max_batch=1), {}
    choices: tuple[Choice, ...] = ("least_of_two", "random")
    for choice in choices:
        found = Simulation(server, 10, choice).open_loop(800, 20_000)
        slowest[choice] = np.percentile(found.latencies, 99)
    assert slowest["least_of_two"] < 0.6 * slowest["random"]


def test_a_seed_decides_everything() -> None:
    one, other = (Simulation(Server(0.01, 0.001), 4, "random", 7).open_loop(300, 2000) for _ in range(2))
    assert np.array_equal(one.latencies, other.latencies)


def test_the_plan_follows_its_assumptions() -> None:
    cheap, dear = rows(Assumptions()), rows(Assumptions(core_hour=2 * Assumptions().core_hour))
    assert [b.dollars / a.dollars for a, b in zip(cheap, dear, strict=True)] == [
        pytest.approx(1 if row.is_gpu else 2) for row in cheap
    ]
    for row in rows(Assumptions(peak=1, utilisation=1)):
        assert (row.devices - 1) * row.rate < 100e6 / 86_400 <= row.devices * row.rate
