"""Images/s of training against a plain float32 loop (NCHW, SGD, the loss read after each step), by turns in one run.

    python benchmarks/train_speed.py --depth 20

Both make the same steps on the same augmented batches. Reported is the median over rounds of the ratio within a round.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import tyro
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, trainer
from resprobe_exporter.training.batches import Batches
from resprobe_exporter.training.recipes import RECIPES, Recipe
from torch.nn import functional


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    depth: int = 20
    """Depth of the net."""
    size: int = 32
    """Height and width of the images, which are noise."""
    rounds: int = 12
    """Number of turns of each loop."""
    steps: int = 3
    """Steps of 128 images in a turn."""
    compile: bool = False
    """Compile the exporter's training with torch.compile."""


def plain(net: ResNet, noise: data.Data, recipe: Recipe) -> None:
    """Trains with the loop that one would write first."""
    optimizer = torch.optim.SGD(
        net.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    batches = Batches(noise, recipe, 0)
    net.train()
    for _ in range(recipe.steps(len(noise.train))):
        images, labels = next(batches)
        loss = functional.cross_entropy(net(images.contiguous()), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        optimizer.step()
        loss.item()


def main() -> None:
    """Runs the benchmark and prints its results."""
    options = tyro.cli(Options, description=__doc__)
    images = torch.randint(0, 256, (1024, 3, options.size, options.size), dtype=torch.uint8)
    part = data.Part(images, torch.randint(0, 10, (1024,)))
    noise = data.Data("noise", part, part, tuple("0123456789"), (0.5,) * 3, (0.29,) * 3, True)
    recipe = replace(RECIPES["cifar10"], iterations=options.steps, learning_rate=0.01)
    nets = [ResNet(Architecture(depth=options.depth, height=options.size, width=options.size)) for _ in range(2)]
    how = trainer.TrainingOptions(compiled=options.compile)
    loops: tuple[Callable[[], None], ...] = (
        lambda: plain(nets[0], noise, recipe),
        lambda: trainer.train(nets[1], noise, recipe, 0, lambda _: None, options=how),
    )
    rates: list[list[float]] = [[], []]
    for turn in range(options.rounds + 1):  # the first warms up
        for loop, found in zip(loops, rates, strict=True):
            begin = time.perf_counter()
            loop()
            if turn > 0:
                found.append(options.steps * recipe.batch_size / (time.perf_counter() - begin))
    ratio = statistics.median(ours / theirs for theirs, ours in zip(*rates, strict=True))
    for name, found in zip(("plain", "ours"), rates, strict=True):
        print(f"{name:5}  {statistics.median(found):,.0f} images/s (median), {max(found):,.0f} (best)")
    print(f"ours / plain, median of the ratios in each round: {ratio:.2f}")


if __name__ == "__main__":
    main()
