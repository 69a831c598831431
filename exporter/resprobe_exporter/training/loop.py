"""The training loop: one step of SGD at a time, and a state that can be saved and resumed."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.errors import TrainingDiverged
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.training.batches import Batches
from resprobe_exporter.training.data import Data
from resprobe_exporter.training.distributed import ALONE, World
from resprobe_exporter.training.evaluation import Score, evaluate, tally
from resprobe_exporter.training.hooks import Responses, gradient_norms
from resprobe_exporter.training.progress import Layers, Progress
from resprobe_exporter.training.recipes import Recipe


@dataclass(frozen=True)
class TrainingOptions:
    """How a run is executed and observed; apart from rounding, nothing here changes the weights.

    Attributes:
        world: Processes that train together.
        compiled: Whether to compile the net with torch.compile first.
        record_every: Steps between two records of all layers. If 0, no layers are recorded.
        report_every: Steps between two reports. On a GPU, each report waits for the GPU.
    """

    world: World = ALONE
    compiled: bool = False
    record_every: int = 0
    report_every: int = 1


DEFAULT_OPTIONS = TrainingOptions()


class TrainingLoop:
    """A training run between two of its steps."""

    def __init__(
        self, net: ResNet, called: nn.Module, data: Data, recipe: Recipe, batches: Batches, options: TrainingOptions
    ) -> None:
        """Creates a run before its first step.

        Args:
            net: Net whose weights are trained.
            called: Module to call in training: the net, or what `distributed.parallel` made of it.
            data: Images, on the net's device.
            recipe: Training recipe.
            batches: Batches of this process.
            options: How the run is executed and observed.
        """
        self._net, self._called, self._data, self._recipe = net, called, data, recipe
        self._batches, self._options = batches, options
        self._fast: Callable[[Tensor], Tensor] = torch.compile(called) if options.compiled else called
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
        self._epoch = _Epoch(data.train.labels.device)

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that the remaining steps depend on."""
        return {
            "step": self.step,
            "slow": self._slow is not None,
            "sums": self._epoch.sums,
            "net": self._net.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "batches": self._batches.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes from what `state_dict` returned."""
        self.step = state["step"]
        self._slow = self._slow if state["slow"] else None
        self._epoch.sums.copy_(state["sums"])
        self._net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._batches.load_state_dict(state["batches"])
        self._epoch.start_clock(self.step % self._per_epoch)

    def advance(self, report: Callable[[Progress], None]) -> None:
        """Runs one step, and calls `report` if a report is due.

        Raises:
            TrainingDiverged: The loss is not finite.
        """
        position = self.step % self._per_epoch
        if position == 0:
            self._epoch.sums.zero_()
            self._epoch.start_clock(0)
        self._net.train()
        learning_rate = self._set_learning_rate()
        layers, own = self._update(*next(self._batches))
        self._epoch.sums += self._options.world.add_up(own)
        self.step += 1
        last = position + 1 == self._per_epoch or self.step == self.steps
        if last or layers or self._slow or self.step % self._options.report_every == 0:
            report(self._progress(position + 1, learning_rate, last, layers))

    @property
    def _per_epoch(self) -> int:
        return self._recipe.steps_per_epoch(len(self._data.train))

    def _progress(self, done: int, learning_rate: float, last: bool, layers: Layers | None) -> Progress:
        """Returns the state of the run after `done` steps of the epoch, and ends a slow start when it is time."""
        loss, accuracy = (self._epoch.sums / (done * self._batches.size)).tolist()
        self._check(loss)
        if self._slow and accuracy > 1 - self._slow.error:
            self._slow = None
        seconds = self._epoch.seconds_per_step(done)  # before the held-out images are scored
        return Progress(
            epoch=(self.step - 1) // self._per_epoch,
            step=self.step,
            steps=self.steps,
            loss=loss,
            accuracy=accuracy,
            rate=self._batches.size / seconds,
            left=seconds * (self.steps - self.step),
            learning_rate=learning_rate,
            last=last,
            validation=self._validate() if last else None,
            layers=layers,
        )

    def _validate(self) -> Score | None:
        held_out = self._data.validation
        return None if held_out is None else evaluate(self._net, held_out, self._data)

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            epoch = (self.step - 1) // self._per_epoch + 1
            raise TrainingDiverged(
                f"the loss is {loss} at step {self.step} of {self.steps}, in epoch {epoch}: "
                f"the learning rate of {self._recipe.learning_rate} may be too high"
            )

    def _set_learning_rate(self) -> float:
        rate = self._recipe.learning_rate * self._recipe.schedule.factor(self.step, self.steps)
        if self._slow:
            rate *= self._slow.factor
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _update(self, images: Tensor, labels: Tensor) -> tuple[Layers | None, Tensor]:
        """Updates the weights; returns what the layers did, if they are recorded, and this process's tally."""
        every, world = self._options.record_every, self._options.world
        recorded = Responses(self._net) if every and (self.step + 1) % every == 0 else None
        low = self._recipe.autocast and images.device.type == "cuda"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=low), recorded or nullcontext():
            logits = (self._called if recorded else self._fast)(images)
            smoothing = self._recipe.label_smoothing
            loss = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        (loss * (world.size / self._batches.size)).backward()  # type: ignore[no-untyped-call]  # unannotated in torch
        layers = None if recorded is None else _layers(self._net, recorded)
        self._optimizer.step()
        return layers, tally(logits, labels)


class _Epoch:
    """The tally of an epoch so far, over all processes, and its clock.

    Attributes:
        sums: Cross-entropy in nats and number of correct predictions, float64 [2].
    """

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        self.start_clock(0)

    def start_clock(self, done: int) -> None:
        """Starts the clock after `done` steps of the epoch."""
        self._first, self._since = done, time.perf_counter()

    def seconds_per_step(self, done: int) -> float:
        """Returns the mean time of a step since the clock was started, with `done` steps of the epoch done."""
        return (time.perf_counter() - self._since) / (done - self._first)


def _layers(net: ResNet, responses: Responses) -> Layers:
    ratios = {name: float(values.mean()) for name, values in responses.ratios.items()}
    return Layers(gradient_norms(net), responses.std, ratios)
