"""Training: it learns, the same way twice, and what it does to images is what it says."""

import copy
from dataclasses import replace

import pytest
import torch
from conftest import small_net
from resprobe_exporter import data, train
from resprobe_exporter.resnet import Architecture, ResNet


def make(seed: int = 0) -> ResNet:
    torch.manual_seed(seed)
    return ResNet(Architecture(depth=8, height=8, width=8, channels=1))


def test_it_learns(digits: data.Data) -> None:
    net, seen = make(), list[train.Progress]()
    train.train(net, digits, train.Recipe(epochs=3), 0, seen.append)
    assert train.evaluate(net, digits.test, digits).accuracy > 0.8
    assert [seen[0].step, seen[-1].step, seen[-1].epoch] == [1, seen[-1].steps, 2]
    assert len(seen) == 3 * (1437 // 64)
    assert seen[-1].loss < seen[0].loss
    assert all(progress.rate > 0 for progress in seen)


def test_the_same_seed_gives_the_same_weights(digits: data.Data) -> None:
    part = replace(digits, train=data.Part(digits.train.images[:256], digits.train.labels[:256]))

    def weights(seed: int) -> list[torch.Tensor]:
        net = make()
        train.train(net, part, train.Recipe(epochs=1), seed, lambda _: None)
        return list(net.state_dict().values())

    first, second, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(("progress", "expected"), [(0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0)])
def test_schedule(progress: float, expected: float) -> None:
    assert train.schedule(progress, 0.1) == pytest.approx(expected, abs=1e-9)


def test_augmentation_shifts_and_mirrors_whole_images() -> None:
    image = torch.zeros(1, 2, 5, 5, dtype=torch.uint8)
    image[0, 0, 2, 1], image[0, 1, 2, 2] = 200, 100
    found = set()
    for crop in train.augment(image.expand(400, -1, -1, -1), 1, True, torch.Generator().manual_seed(0)):
        (row, column), (other_row, other_column) = (tuple((crop[c] > 0).nonzero()[0].tolist()) for c in (0, 1))
        assert (crop[0].max(), crop[1].max()) == (200, 100)
        assert row == other_row  # all channels move together
        found.add((row, column, other_column - column))
    shifted = {(row, column, 1) for row in (1, 2, 3) for column in (0, 1, 2)}
    mirrored = {(row, column, -1) for row in (1, 2, 3) for column in (2, 3, 4)}
    assert found == shifted | mirrored


def test_without_mirroring_left_stays_left() -> None:
    image = torch.arange(25, dtype=torch.uint8).reshape(1, 1, 5, 5)
    for crop in train.augment(image.expand(50, -1, -1, -1), 1, False, torch.Generator().manual_seed(0)):
        inner = crop[0, 1:4, 1:4].int()
        assert (inner.diff(dim=1) == 1).all()


def test_an_untrained_net_is_calibrated_and_keeps_its_weights(digits: data.Data) -> None:
    net = make()
    before = copy.deepcopy(net)
    train.train(net, digits, train.Recipe(epochs=0), 0, lambda _: None)
    for (name, one), two in zip(before.named_parameters(), net.parameters(), strict=True):
        assert torch.equal(one, two), name
    norm = net.get_submodule("stage3.block0.bn2")
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert norm.momentum == 0.1
    assert norm.running_var is not None
    assert not torch.equal(norm.running_var, torch.ones(64))


def test_more_images_in_a_step_than_there_are(digits: data.Data) -> None:
    few = replace(digits, train=data.Part(digits.train.images[:10], digits.train.labels[:10]))
    steps: list[train.Progress] = []
    train.train(make(), few, train.Recipe(epochs=2), 0, steps.append)
    assert len(steps) == 2


def test_evaluate_counts_every_image(digits: data.Data) -> None:
    net = small_net()
    logits = net(train.normalise(digits.test.images, digits))
    expected = (logits.argmax(1) == digits.test.labels).float().mean().item()
    assert train.evaluate(net, digits.test, digits, batch_size=7).accuracy == pytest.approx(expected, abs=1 / 360)
