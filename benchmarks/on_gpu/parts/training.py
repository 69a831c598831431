"""Images/s of the exporter's training: bfloat16 and float32, compiled and not."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, trainer
from resprobe_exporter.training.recipes import RECIPES

from on_gpu.results import Results
from on_gpu.settings import Settings

NOTES = (
    "The recipe for CIFAR-10 with augmentation; cuDNN is deterministic, as in `exporter build`. Median of turns; those "
    "that are not compiled ran by turns. float32 has TF32 in convolutions, which is PyTorch's default.",
)


@dataclass(frozen=True)
class Way:
    """A way to train: whether convolutions are in bfloat16, and whether the net is compiled first."""

    low: bool
    compiled: bool = False


TOGETHER = ((Way(low=True), Way(low=False)), (Way(low=True, compiled=True),))


@dataclass(frozen=True)
class Size:
    """Amount of training: the depth of the net, images in a step, steps in a turn, and turns."""

    depth: int = 20
    batch: int = 128
    steps: int = 100
    turns: int = 3


def run(settings: Settings, results: Results) -> None:
    """Adds a row for each way to train, first those that need no compiler."""
    torch.backends.cudnn.deterministic = True
    size = Size(8, 8, 1, 1) if settings.quick else Size()
    loaded = _data(settings).to(torch.device(settings.device))
    title = f"Training ResNet-{size.depth} on {loaded.name}, 32×32, batches of {size.batch}"
    table = results.table(title, "precision", "compiled", "images/s", "first steps, s", notes=NOTES)
    for ways in TOGETHER[:1] if settings.quick else TOGETHER:
        loops = {way: _loop(size, loaded, way) for way in ways}
        first = {way: _time(loop) for way, loop in loops.items()}
        turns = [{way: _time(loop) for way, loop in loops.items()} for _ in range(size.turns)]
        for way in ways:
            rate = size.steps * size.batch / median(turn[way] for turn in turns)
            low = way.low and settings.device == "cuda"
            table.add("bfloat16" if low else "float32", way.compiled, rate, first[way])


def _loop(size: Size, loaded: data.Data, way: Way) -> Callable[[], None]:
    recipe = replace(
        RECIPES["cifar10"], batch_size=size.batch, iterations=size.steps, learning_rate=0.01, autocast=way.low
    )
    net = ResNet(Architecture(depth=size.depth)).to(loaded.train.images.device)
    options = trainer.TrainingOptions(compiled=way.compiled, report_every=20)  # as `exporter build` has it on a GPU
    return lambda: trainer.train(net, loaded, recipe, 0, lambda _: None, options=options)


def _time(loop: Callable[[], None]) -> float:
    begin = time.perf_counter()
    loop()  # its last report has waited for the device
    return time.perf_counter() - begin


def _data(settings: Settings) -> data.Data:
    if settings.data is not None:
        return data.load("cifar10", settings.data)
    count = 256 if settings.quick else 50_000
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    part = data.Part(images, torch.randint(0, 10, (count,)))
    return data.Data("noise", part, part, tuple("0123456789"), (0.5,) * 3, (0.29,) * 3, True)
