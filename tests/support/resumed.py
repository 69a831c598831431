"""A short training run that can be stopped and resumed."""

from collections.abc import Callable

import torch
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, trainer
from resprobe_exporter.training.recipes import Recipe
from resprobe_exporter.training.training_checkpoint import Checkpoints

FAST = Recipe(epochs=3, batch_size=64)


State = dict[str, torch.Tensor]


def run(
    few: data.Data,
    recipe: Recipe = FAST,
    seed: int = 0,
    depth: int = 8,
    checkpoints: Checkpoints | None = None,
    report: Callable[[trainer.Progress], None] = lambda _: None,
) -> State:
    torch.manual_seed(seed)
    net = ResNet(Architecture(depth=depth, height=8, width=8, channels=1))
    trainer.train(net, few, recipe, seed, report, checkpoints=checkpoints)
    return dict(net.state_dict())
