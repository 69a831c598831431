"""Trains a net by SGD as a recipe says, on tensors that stay on the device.

One recipe serves all depths. In several processes under torchrun, each process computes its share of every batch.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.training.batches import Batches
from resprobe_exporter.training.data import Data, normalise
from resprobe_exporter.training.distributed import World, parallel
from resprobe_exporter.training.evaluation import Score, evaluate
from resprobe_exporter.training.loop import DEFAULT_OPTIONS, TrainingLoop, TrainingOptions
from resprobe_exporter.training.progress import Layers, Progress
from resprobe_exporter.training.recipes import RECIPES, Recipe
from resprobe_exporter.training.training_checkpoint import Checkpoints, describe_run

__all__ = (
    "RECIPES",
    "Layers",
    "Progress",
    "Recipe",
    "Score",
    "TrainingOptions",
    "calibrate",
    "evaluate",
    "normalise",
    "train",
)


def train(
    net: ResNet,
    data: Data,
    recipe: Recipe,
    seed: int,
    report: Callable[[Progress], None],
    *,
    checkpoints: Checkpoints | None = None,
    options: TrainingOptions = DEFAULT_OPTIONS,
) -> None:
    """Trains the net in place. On one machine, the same seed gives the same weights again.

    Args:
        net: Net on the device to train on.
        data: Images and labels on the same device; the net sees them normalised.
        recipe: Training recipe. If it has no steps, only the batch norms are calibrated.
        seed: Seed of the order of the images and of their augmentation.
        report: Callback after every `report_every` steps and at the end of each epoch.
        checkpoints: Checkpoint directory. If None, no checkpoints are written.
        options: How the run is executed and observed.

    Raises:
        TrainingDiverged: The loss is not finite.
        CheckpointError: The checkpoint belongs to another run, or cannot be written.
        ExporterError: There are more processes than images in a batch.
    """
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
    batches = Batches(data, recipe, seed, options.world)
    if batches.size < options.world.size:
        raise ExporterError(f"{options.world.size} processes for {batches.size} images in a batch: expected fewer")
    if recipe.steps(len(data.train)) == 0:
        calibrate(net, Batches(data, recipe, seed))
        return
    with parallel(net, options.world) as called:
        loop = TrainingLoop(net, called, data, recipe, batches, options)
        if checkpoints is None:
            while loop.step < loop.steps:
                loop.advance(report)
        else:
            _run_with_checkpoints(loop, checkpoints, describe_run(net, data, recipe, seed), options.world, report)


def _run_with_checkpoints(
    loop: TrainingLoop,
    checkpoints: Checkpoints,
    run: Mapping[str, Any],
    world: World,
    report: Callable[[Progress], None],
) -> None:
    """Resumes a run from its checkpoint if there is one, and writes checkpoints until it ends."""
    if state := checkpoints.load(run):
        loop.load_state_dict(state)
    while loop.step < loop.steps:
        loop.advance(report)
        if world.rank == 0 and checkpoints.due(loop.step == loop.steps):
            checkpoints.save(run, loop.state_dict())


@torch.no_grad()
def calibrate(net: ResNet, batches: Batches, count: int = 4) -> None:
    """Sets the running statistics of every batch norm to averages over training images; no weight changes.

    Without it, an untrained net runs with the initial statistics (0, 1), and the activations of a deep net overflow.

    Args:
        net: Net to calibrate.
        batches: Batches of training images.
        count: Batches to average over.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    net.train()
    for _, (images, _) in zip(range(count), batches, strict=False):
        net(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
