"""Measurements of one net of a study."""

import torch
from resprobe_exporter.study import experiment
from resprobe_exporter.training import data, trainer

from tests.support.nets import small_net


def test_a_lesion_leaves_the_shortcut(digits: data.Data) -> None:
    net = small_net(depth=14)
    part = data.Part(digits.test.images[:80], digits.test.labels[:80])
    found = experiment.lesions(net, part, digits)
    assert list(found) == [block.name for block in net.blocks]
    twin = small_net(depth=14)
    norm = twin.get_submodule("stage2.block1.bn2")
    assert isinstance(norm, torch.nn.BatchNorm2d)
    torch.nn.init.zeros_(norm.weight)
    torch.nn.init.zeros_(norm.bias)
    assert found["stage2.block1"] == trainer.evaluate(twin, part, digits).accuracy
    with experiment.without(net, "stage2.block1"):
        assert torch.equal(net(trainer.normalise(part.images, digits)), twin(trainer.normalise(part.images, digits)))
