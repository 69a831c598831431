"""Recipes: the paper's numbers, and schedules that keep their shape in another length."""

from dataclasses import replace

import pytest
import torch
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, recipes, trainer
from resprobe_exporter.training.recipes import PAPER, OneCycle, Recipe, SlowStart, StepDecay


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)]
)
def test_the_paper_recipe_has_the_papers_learning_rate(step: int, expected: float) -> None:
    steps = PAPER.steps(45_000)
    assert steps == 64_000
    assert PAPER.learning_rate * PAPER.schedule.factor(step, steps) == pytest.approx(expected)


def test_the_paper_recipe_keeps_its_shape_in_another_length() -> None:
    short = recipes.choose("paper", "cifar10", epochs=10)
    assert (short.steps(45_000), short.passes(45_000)) == (10 * 351, 10)
    assert [short.schedule.factor(step, 3510) for step in (1754, 1755)] == pytest.approx([1, 0.1])
    assert replace(short, epochs=PAPER.epochs, iterations=PAPER.iterations) == PAPER
    assert PAPER.passes(45_000) == 183  # 182.3 epochs


@pytest.mark.parametrize(("step", "expected"), [(4, 0.5), (9, 1.0), (54, 0.5), (99, 0.0)])
def test_one_cycle_rises_and_falls(step: int, expected: float) -> None:
    assert OneCycle(0.1).factor(step, 100) == pytest.approx(expected, abs=1e-9)


def test_every_data_set_has_a_fast_recipe() -> None:
    assert recipes.choose("fast", "digits").steps(1437) == 15 * 44
    assert recipes.choose("fast", "cifar100", 2).epochs == 2
    assert Recipe(epochs=3).steps(10) == 3  # fewer images than a batch


def learning_rates(digits: data.Data, slow: SlowStart) -> tuple[list[float], list[float]]:
    torch.manual_seed(0)
    net, seen = ResNet(Architecture(depth=8, height=8, width=8, channels=1)), list[trainer.Progress]()
    how = Recipe(epochs=1, batch_size=64, schedule=StepDecay(()), slow_start=slow)
    trainer.train(net, digits, how, 0, seen.append)
    return [progress.learning_rate for progress in seen], [progress.accuracy for progress in seen]


def test_a_slow_start_ends_when_the_training_error_is_low_enough(digits: data.Data) -> None:
    rates, accuracies = learning_rates(digits, SlowStart(depth=8))
    slow = rates.count(0.1 * 0.1)
    assert 1 <= slow < len(rates)
    assert rates == pytest.approx([0.01] * slow + [0.1] * (len(rates) - slow))
    assert all(accuracy <= 0.2 for accuracy in accuracies[: slow - 1])
    assert accuracies[slow - 1] > 0.2


def test_a_shallower_net_has_no_slow_start(digits: data.Data) -> None:
    assert set(learning_rates(digits, SlowStart(depth=14))[0]) == {0.1}
