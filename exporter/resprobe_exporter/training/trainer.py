"""Trains a net by SGD on tensors that stay on the device, as a recipe says.

Reaches 0.99 on the embedded digits with ResNet-20 in about 20 s, and 0.97 with ResNet-110 in 3 minutes, on two cores.
One recipe for all depths. In several processes under torchrun, each computes its share of every batch.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.errors import ExporterError, TrainingDiverged
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.training.batches import Batches
from resprobe_exporter.training.data import Data, normalise
from resprobe_exporter.training.distributed import ALONE, World, parallel
from resprobe_exporter.training.evaluation import Score, evaluate, tally
from resprobe_exporter.training.hooks import Responses, gradient_norms
from resprobe_exporter.training.recipes import RECIPES, Recipe
from resprobe_exporter.training.training_checkpoint import Checkpoints, describe_run

__all__ = ("RECIPES", "Layers", "Options", "Progress", "Recipe", "Score", "calibrate", "evaluate", "normalise", "train")


@dataclass(frozen=True)
class Layers:
    """What the layers did in one step, by name in layer order; of this process's share of the batch.

    Attributes:
        gradient_norms: Of the weight of each weighted layer, L2.
        response_std: Of each 3×3 layer; see `Responses`.
        ratios: ‖F(x)‖ / ‖s(x)‖ of each residual block, mean over the images.
    """

    gradient_norms: Mapping[str, float]
    response_std: Mapping[str, float]
    ratios: Mapping[str, float]


@dataclass(frozen=True)
class Progress:
    """Where training is.

    Attributes:
        epoch: From 0.
        step: Steps done, over all epochs.
        steps: Steps in all.
        loss: Mean cross-entropy in nats over the epoch so far.
        accuracy: The same for the share classified as labelled.
        rate: Images/s in this epoch, since training began or went on.
        left: Seconds to go at this rate.
        learning_rate: In this step.
        last: Whether this is the last step of an epoch.
        validation: On the images that were held out, after the last step of an epoch.
        layers: In this step, where they were asked for.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    rate: float
    left: float
    learning_rate: float
    last: bool
    validation: Score | None = None
    layers: Layers | None = None


@dataclass(frozen=True)
class Options:
    """Options of training besides the recipe: none of them changes the weights but by rounding.

    Attributes:
        world: The processes that train together.
        compiled: Whether to compile the net first.
        record_every: Steps between two that look at all layers; 0: none does.
        report_every: Steps between two reports; on a GPU each waits for it.
    """

    world: World = ALONE
    compiled: bool = False
    record_every: int = 0
    report_every: int = 1


def train(
    net: ResNet,
    data: Data,
    recipe: Recipe,
    seed: int,
    report: Callable[[Progress], None],
    *,
    checkpoints: Checkpoints | None = None,
    options: Options = Options(),
) -> None:
    """Trains the net in place; the same seed gives the same weights again on the same machine.

    Args:
        net: On the device to train on.
        data: Its tensors on the same device, normalised as the recipe says.
        recipe: How.
        seed: Of the order of the images and of their augmentation.
        report: Called after every `report_every` steps and at the end of an epoch.
        checkpoints: Where to go on from and to write to. If None, training cannot be taken up again.
        options: What does not change the weights.

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
    run = describe_run(net, data, recipe, seed) if checkpoints else {}
    with parallel(net, options.world) as called:
        loop = _Loop(net, called, data, recipe, batches, options)
        if checkpoints and (state := checkpoints.load(run)):
            loop.load_state_dict(state)
        while loop.step < loop.steps:
            loop.advance(report)
            if checkpoints and options.world.rank == 0 and checkpoints.due(loop.step == loop.steps):
                checkpoints.save(run, loop.state_dict())


class _Loop:
    """A run between two steps."""

    def __init__(
        self, net: ResNet, called: nn.Module, data: Data, recipe: Recipe, batches: Batches, options: Options
    ) -> None:
        self._net, self._called, self._data, self._recipe = net, called, data, recipe
        self._batches, self._options = batches, options
        self._fast: Callable[[Tensor], Tensor] = torch.compile(called) if options.compiled else called
        self._device = data.train.labels.device
        self._optimizer = torch.optim.SGD(
            net.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
            fused=True,
        )
        self.steps = recipe.steps(len(data.train))
        self.step = 0
        slow = recipe.slow_start
        self._slow = slow if slow is not None and net.architecture.depth >= slow.depth else None
        self._sums = torch.zeros(2, dtype=torch.float64, device=self._device)  # of the epoch so far
        self._begin(0)

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        return {
            "step": self.step,
            "slow": self._slow is not None,
            "sums": self._sums,
            "net": self._net.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "batches": self._batches.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there."""
        self.step = state["step"]
        self._slow = self._slow if state["slow"] else None
        self._sums.copy_(state["sums"])
        self._net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._batches.load_state_dict(state["batches"])
        self._begin(self.step % self._per_epoch)

    def advance(self, report: Callable[[Progress], None]) -> None:
        """One step."""
        position = self.step % self._per_epoch
        if position == 0:
            self._sums.zero_()
            self._begin(0)
        self._net.train()
        rate = self._set_learning_rate()
        layers, own = self._update(*next(self._batches))
        self._sums += self._options.world.add_up(own)
        self.step += 1
        last = position + 1 == self._per_epoch or self.step == self.steps
        if last or layers or self._slow or self.step % self._options.report_every == 0:
            loss, accuracy = (self._sums / ((position + 1) * self._batches.size)).tolist()
            self._check(loss)
            if self._slow and accuracy > 1 - self._slow.error:
                self._slow = None
            pace = (time.perf_counter() - self._since) / (position + 1 - self._first)  # seconds a step
            held_out = self._data.validation if last else None
            validation = None if held_out is None else evaluate(self._net, held_out, self._data)
            epoch = (self.step - 1) // self._per_epoch
            left = pace * (self.steps - self.step)
            at = epoch, self.step, self.steps, loss, accuracy, self._batches.size / pace, left, rate
            report(Progress(*at, last, validation, layers))

    @property
    def _per_epoch(self) -> int:
        return self._recipe.steps_per_epoch(len(self._data.train))

    def _begin(self, position: int) -> None:
        """Starts the clock of an epoch, at a position in it."""
        self._first, self._since = position, time.perf_counter()

    def _set_learning_rate(self) -> float:
        rate = self._recipe.learning_rate * self._recipe.schedule.factor(self.step, self.steps)
        if self._slow:
            rate *= self._slow.factor
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _update(self, images: Tensor, labels: Tensor) -> tuple[Layers | None, Tensor]:
        """Moves the weights; returns what the layers did, if it is time, and the tally of this process's images."""
        every, world = self._options.record_every, self._options.world
        recorded = Responses(self._net) if every and (self.step + 1) % every == 0 else None
        low = self._recipe.autocast and self._device.type == "cuda"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=low), recorded or nullcontext():
            logits = (self._called if recorded else self._fast)(images)
            smoothing = self._recipe.label_smoothing
            loss = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        (loss * (world.size / self._batches.size)).backward()  # type: ignore[no-untyped-call]  # unannotated in torch
        layers = None if recorded is None else _layers(self._net, recorded)
        self._optimizer.step()
        return layers, tally(logits, labels)

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            epoch = (self.step - 1) // self._per_epoch + 1
            raise TrainingDiverged(
                f"the loss is {loss} at step {self.step} of {self.steps}, in epoch {epoch}: "
                f"the learning rate of {self._recipe.learning_rate} may be too high"
            )


def _layers(net: ResNet, responses: Responses) -> Layers:
    ratios = {name: float(values.mean()) for name, values in responses.ratios.items()}
    return Layers(gradient_norms(net), responses.std, ratios)


@torch.no_grad()
def calibrate(net: ResNet, batches: Batches, count: int = 4) -> None:
    """Sets the running statistics of every batch norm to averages over training images; no weight changes.

    Without it, an untrained net runs on the statistics (0, 1) it was made with, and the activations of a deep one
    overflow.
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
