"""How to train, as data: saved with the model; with the seed, the net and the machine it decides the weights.

Everything that depends on time is a share of the steps, so a recipe keeps its shape when `--epochs` changes its length.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Name = Literal["fast", "paper"]
Mean = Literal["channel", "pixel"]
Padding = Literal["black", "mean"]


@dataclass(frozen=True)
class OneCycle:
    """The learning rate rises linearly, then falls along half a cosine to 0.

    Attributes:
        warmup: Share of the steps in which it rises.
    """

    warmup: float = 0.15

    def factor(self, step: int, steps: int) -> float:
        """On the learning rate, in step `step` of `steps`, from 0."""
        progress = (step + 1) / steps
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))


@dataclass(frozen=True)
class StepDecay:
    """The learning rate is multiplied by `gamma` at each milestone.

    Attributes:
        milestones: Shares of the steps: 32k and 48k of 64k in the paper.
        gamma: Factor.
    """

    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1

    def factor(self, step: int, steps: int) -> float:
        """On the learning rate, in step `step` of `steps`, from 0."""
        return self.gamma ** sum(step >= milestone * steps for milestone in self.milestones)


@dataclass(frozen=True)
class SlowStart:
    """A lower learning rate until the net has begun to learn (He et al. 2015, §4.2, on the net of 110 layers).

    Attributes:
        depth: Nets of at least that many layers need it.
        factor: On the learning rate.
        error: It ends when the training error is below this share.
    """

    depth: int = 110
    factor: float = 0.1
    error: float = 0.8


@dataclass(frozen=True)
class Recipe:
    """How to train, by SGD.

    Attributes:
        epochs: Passes over the training images; 0 leaves the weights as they were initialised.
        batch_size: Images in a step, over all processes.
        learning_rate: At its highest.
        momentum: Of SGD.
        weight_decay: On all weights.
        nesterov: Whether the momentum is Nesterov's.
        schedule: Of the learning rate.
        slow_start: Of deep nets. If None, all start alike.
        label_smoothing: Share of a label that is spread over all classes.
        iterations: Steps, instead of `epochs`.
        mean: What is subtracted: a number for each channel (which is divided by its deviation too), or for each pixel.
        padding: On each side before a random crop, as a share of the height: 1/8 is the paper's 4 pixels of 32.
        padded_with: Black before the mean is subtracted, or the mean (zeros after it).
        autocast: Whether convolutions run in bfloat16 on CUDA. CPUs without bfloat16 units are many times slower in it.
        name: Of the recipe.
    """

    epochs: int = 0
    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = True
    schedule: OneCycle | StepDecay = OneCycle()
    slow_start: SlowStart | None = None
    label_smoothing: float = 0.0
    iterations: int | None = None
    mean: Mean = "channel"
    padding: float = 0.125
    padded_with: Padding = "black"
    autocast: bool = True
    name: str = "fast"

    def steps_per_epoch(self, images: int) -> int:
        """What does not fill a batch is left out; fewer images than a batch are one."""
        return max(1, images // self.batch_size)

    def steps(self, images: int) -> int:
        """In all."""
        return self.epochs * self.steps_per_epoch(images) if self.iterations is None else self.iterations

    def passes(self, images: int) -> int:
        """Over the images, the last of which may be cut short."""
        return -(-self.steps(images) // self.steps_per_epoch(images))

    def for_epochs(self, epochs: int) -> "Recipe":
        """Returns the schedule with another length: milestones and warm-up are shares of all steps."""
        return replace(self, epochs=epochs, iterations=None)

    def as_json(self) -> dict[str, Any]:
        """For the model's description."""
        return asdict(self) | {"schedule": {"kind": type(self.schedule).__name__, **asdict(self.schedule)}}


RECIPES = {
    "digits": Recipe(epochs=15, batch_size=32, learning_rate=0.05),
    "cifar10": Recipe(epochs=30, batch_size=128),
    "cifar100": Recipe(epochs=30, batch_size=128),
    "folder": Recipe(epochs=30),
}
"""The fast recipe, by data set."""

PAPER = Recipe(
    batch_size=128,
    learning_rate=0.1,
    weight_decay=1e-4,
    nesterov=False,
    schedule=StepDecay(),
    slow_start=SlowStart(),
    iterations=64_000,
    mean="pixel",
    padded_with="mean",
    autocast=False,
    name="paper",
)
"""He et al. 2015, §4.2: He initialisation, which all our nets have, and no dropout complete it."""


def choose(name: Name, dataset: str, epochs: int | None = None) -> Recipe:
    """The recipe of this name for a data set; `epochs` changes its length, not its shape."""
    recipe = PAPER if name == "paper" else RECIPES[dataset]
    return recipe if epochs is None else recipe.for_epochs(epochs)
