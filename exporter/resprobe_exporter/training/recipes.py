"""Training recipes as data, saved with the model: recipe, seed, net and machine determine the weights.

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
        warmup: Share of the steps in which the learning rate rises.
    """

    warmup: float = 0.15

    def factor(self, step: int, steps: int) -> float:
        """Returns the factor of the learning rate in step `step` of `steps`, counted from 0."""
        progress = (step + 1) / steps
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))


@dataclass(frozen=True)
class StepDecay:
    """The learning rate is multiplied by `gamma` at each milestone.

    Attributes:
        milestones: Shares of the steps after which the learning rate falls: 32k and 48k of 64k steps in the paper.
        gamma: Factor of the learning rate at each milestone.
    """

    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1

    def factor(self, step: int, steps: int) -> float:
        """Returns the factor of the learning rate in step `step` of `steps`, counted from 0."""
        return self.gamma ** sum(step >= milestone * steps for milestone in self.milestones)


@dataclass(frozen=True)
class SlowStart:
    """A lower learning rate until the net has begun to learn (He et al. 2015, §4.2, on the net of 110 layers).

    Attributes:
        depth: Minimum number of weighted layers of a net that starts slowly.
        factor: Factor of the learning rate until then.
        error: Training error, as a share of the images, below which the slow start ends.
    """

    depth: int = 110
    factor: float = 0.1
    error: float = 0.8


@dataclass(frozen=True)
class Recipe:
    """A recipe for training by SGD.

    Attributes:
        epochs: Passes over the training images; 0 leaves the weights as they were initialised.
        batch_size: Images in a step, over all processes.
        learning_rate: Maximum learning rate.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of all parameters.
        nesterov: Whether SGD uses Nesterov momentum.
        schedule: Schedule of the learning rate.
        slow_start: Slow start of deep nets. If None, all nets start alike.
        label_smoothing: Share of a label that is spread over all classes.
        iterations: Number of steps. If None, `epochs` counts.
        mean: `channel` subtracts each channel's mean and divides by its deviation; `pixel` subtracts each pixel's mean.
        padding: Padding on each side before a random crop, as a share of the height: 1/8 is the paper's 4 pixels of 32.
        padded_with: `black` pads before the mean is subtracted; `mean` pads with zeros afterwards.
        autocast: Whether convolutions run in bfloat16 on CUDA. CPUs without bfloat16 units are many times slower in it.
        name: Name of the recipe.
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
        """Returns the full batches in an epoch, at least 1; images that do not fill a batch are left out."""
        return max(1, images // self.batch_size)

    def steps(self, images: int) -> int:
        """Returns the steps of the whole run on so many training images."""
        return self.epochs * self.steps_per_epoch(images) if self.iterations is None else self.iterations

    def passes(self, images: int) -> int:
        """Returns the passes over the training images that the run begins; the last one may be incomplete."""
        return -(-self.steps(images) // self.steps_per_epoch(images))

    def for_epochs(self, epochs: int) -> "Recipe":
        """Returns the recipe with another length; milestones and warm-up scale with it."""
        return replace(self, epochs=epochs, iterations=None)

    def as_json(self) -> dict[str, Any]:
        """Returns the recipe as the model's description holds it."""
        return asdict(self) | {"schedule": {"kind": type(self.schedule).__name__, **asdict(self.schedule)}}


RECIPES = {
    "digits": Recipe(epochs=15, batch_size=32, learning_rate=0.05),
    "cifar10": Recipe(epochs=30, batch_size=128),
    "cifar100": Recipe(epochs=30, batch_size=128),
    "folder": Recipe(epochs=30),
}
"""Fast recipe of each data set."""

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
"""Recipe of He et al. 2015, §4.2. Its He initialisation and lack of dropout hold for all nets here."""


def choose(name: Name, dataset: str, epochs: int | None = None) -> Recipe:
    """Returns the recipe of this name for a data set; `epochs` changes its length, not its shape."""
    recipe = PAPER if name == "paper" else RECIPES[dataset]
    return recipe if epochs is None else recipe.for_epochs(epochs)
