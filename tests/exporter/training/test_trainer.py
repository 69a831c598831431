"""Training: the net learns, reproducibly, and reports what was asked for."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from resprobe_exporter.errors import TrainingDiverged
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, trainer

from tests.support.nets import small_net


def make(seed: int = 0) -> ResNet:
    torch.manual_seed(seed)
    return ResNet(Architecture(depth=8, height=8, width=8, channels=1))


def test_a_net_learns(digits: data.Data) -> None:
    net, seen = make(), list[trainer.Progress]()
    trainer.train(net, digits, trainer.Recipe(epochs=3), 0, seen.append)
    assert trainer.evaluate(net, digits.test, digits).accuracy > 0.8
    assert [seen[0].step, seen[-1].step, seen[-1].epoch] == [1, seen[-1].steps, 2]
    assert len(seen) == 3 * (1437 // 64)
    assert seen[-1].loss < seen[0].loss
    assert all(progress.rate > 0 for progress in seen)


def test_the_same_seed_gives_the_same_weights(digits: data.Data) -> None:
    part = replace(digits, train=data.Part(digits.train.images[:256], digits.train.labels[:256]))

    def weights(seed: int) -> list[torch.Tensor]:
        net = make()
        trainer.train(net, part, trainer.Recipe(epochs=1), seed, lambda _: None)
        return list(net.state_dict().values())

    first, second, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_loss_that_is_not_finite_stops_at_its_step(digits: data.Data) -> None:
    seen = list[trainer.Progress]()
    with pytest.raises(TrainingDiverged, match=r"the loss is nan at step \d+ of 44, in epoch \d: the learning rate"):
        trainer.train(make(), digits, trainer.Recipe(epochs=2, learning_rate=1e30), 0, seen.append)
    assert all(math.isfinite(progress.loss) for progress in seen)


def test_layers_are_recorded_every_so_many_steps(digits: data.Data) -> None:
    net, seen = make(), list[trainer.Progress]()
    trainer.train(
        net, digits, trainer.Recipe(epochs=1), 0, seen.append, options=trainer.TrainingOptions(record_every=10)
    )
    assert [progress.step for progress in seen if progress.layers] == [10, 20]
    layers = seen[9].layers
    assert layers is not None
    assert len(layers.gradient_norms) == 8
    assert list(layers.response_std) == list(layers.gradient_norms)[:-1]
    assert list(layers.ratios) == [block.name for block in net.blocks]
    assert all(value > 0 for found in vars(layers).values() for value in found.values())
    again = make()
    trainer.train(again, digits, trainer.Recipe(epochs=1), 0, lambda _: None)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_reports_can_be_rare(digits: data.Data) -> None:
    seen = list[trainer.Progress]()
    trainer.train(
        make(), digits, trainer.Recipe(epochs=2), 0, seen.append, options=trainer.TrainingOptions(report_every=15)
    )
    assert [progress.step for progress in seen] == [15, 22, 30, 44]
    assert [progress.last for progress in seen] == [False, True, False, True]


def test_held_out_images_are_scored_after_each_epoch() -> None:
    loaded = data.load("digits", validation=200)
    net, seen = make(), list[trainer.Progress]()
    trainer.train(net, loaded, trainer.Recipe(epochs=2), 0, seen.append)
    assert [progress.step for progress in seen if progress.validation] == [19, 38]
    assert loaded.validation is not None
    assert seen[-1].validation == trainer.evaluate(net, loaded.validation, loaded)


def test_an_untrained_net_is_calibrated_and_keeps_its_weights(digits: data.Data) -> None:
    net = make()
    before = copy.deepcopy(net)
    trainer.train(net, digits, trainer.Recipe(epochs=0), 0, lambda _: None)
    for (name, one), two in zip(before.named_parameters(), net.parameters(), strict=True):
        assert torch.equal(one, two), name
    norm = net.get_submodule("stage3.block0.bn2")
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert norm.momentum == 0.1
    assert norm.running_var is not None
    assert not torch.equal(norm.running_var, torch.ones(64))


def test_a_batch_larger_than_the_data_set_is_one_step_an_epoch(digits: data.Data) -> None:
    few = replace(digits, train=data.Part(digits.train.images[:10], digits.train.labels[:10]))
    steps: list[trainer.Progress] = []
    trainer.train(make(), few, trainer.Recipe(epochs=2), 0, steps.append)
    assert len(steps) == 2


def test_evaluate_counts_every_image(digits: data.Data) -> None:
    net = small_net()
    logits = net(trainer.normalise(digits.test.images, digits))
    expected = (logits.argmax(1) == digits.test.labels).float().mean().item()
    assert trainer.evaluate(net, digits.test, digits, batch_size=7).accuracy == pytest.approx(expected, abs=1 / 360)
