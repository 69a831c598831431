"""`exporter build`: from a data set to a new model version."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from resprobe import _files, datasets
from resprobe_protos.contract import DESCRIPTION

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, distributed, loggers, trainer
from resprobe_exporter.training.recipes import Recipe
from resprobe_exporter.training.training_checkpoint import Checkpoints, describe_run
from resprobe_exporter.versions import metadata, succession
from resprobe_exporter.versions.writer import LabelledImages, Preprocessing, publish


@dataclass(frozen=True)
class Built:
    """A version that was written, and the seconds that training and everything together took."""

    description: metadata.Model
    directory: Path
    training_seconds: float
    seconds: float


@dataclass(frozen=True)
class Running:
    """How to run the training, besides what decides the weights.

    Attributes:
        checkpoint: Directory to put the training down in. If None, it cannot be taken up again.
        resume: Whether to go on from there.
        log: File to append JSON lines to.
        tensorboard: Directory of TensorBoard's event files.
        record_every: Steps between two that log what all layers do; 0: none does.
        compiled: Whether to compile the net first.
    """

    checkpoint: Path | None = None
    resume: bool = False
    log: Path | None = None
    tensorboard: Path | None = None
    record_every: int = 0
    compiled: bool = False

    def options(self, world: distributed.World, device: torch.device) -> trainer.TrainingOptions:
        """Returns the options of the loop. A GPU is asked only now and then how it is doing."""
        return trainer.TrainingOptions(world, self.compiled, self.record_every, 20 if device.type == "cuda" else 1)

    def checkpoints(self) -> Checkpoints | None:
        """Where to go on from and to write to.

        Raises:
            CheckpointError: There is a checkpoint that is not to be used.
        """
        return None if self.checkpoint is None else Checkpoints(self.checkpoint, self.resume)


def build(
    architecture: Architecture,
    loaded: data.Data,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    root: Path,
    name: str,
    running: Running = Running(),
) -> Built | None:
    """Trains a net and writes it as the next version of a model.

    Args:
        architecture: Of the net; its image and classes fit the data.
        loaded: To train on and to measure with.
        recipe: How to train.
        seed: Of the weights, the order of the images and their augmentation.
        device: To train on.
        root: The model repository.
        name: Of the model.
        running: Checkpoints and logs.

    Returns:
        The version; None in the processes under torchrun that only help to train it. For a finished run that is resumed
        and was written to this model, that version: nothing is written.

    Raises:
        ExporterError: The repository or a file cannot be written, or the model has versions of another kind.
        CheckpointError: There is a checkpoint that is not to be used, or it cannot be written.
        TrainingDiverged: The loss is not finite.
    """
    begin = time.perf_counter()
    channels, height, width = loaded.shape
    succession.check(root, name, (height, width, channels), loaded.classes)  # before the time is spent
    _files.check(running.log, what="a log")
    checkpoints = running.checkpoints()
    with distributed.join(device) as world:
        torch.manual_seed(seed)
        torch.backends.cudnn.deterministic = True
        net = ResNet(architecture).to(device)
        if checkpoints and (there := _written(checkpoints, describe_run(net, loaded, recipe, seed), root / name)):
            progress.note(f"{checkpoints.path} is of a finished run, which was written as {there}: nothing is new")
            return Built(metadata.read(there), there, 0.0, time.perf_counter() - begin) if world.rank == 0 else None
        origin = metadata.Origin("trained here", seed, recipe.passes(len(loaded.train)), recipe)
        with _reports(world, running, net, loaded, origin) as report:
            options = running.options(world, device)
            trainer.train(net, loaded.to(device), recipe, seed, report, checkpoints=checkpoints, options=options)
    if world.rank > 0:
        return None
    trained = time.perf_counter() - begin
    description, directory = publish(
        net,
        Preprocessing(loaded.mean, loaded.std),
        loaded.classes,
        origin,
        _as_test_set(loaded),
        root,
        name,
        progress.say,
    )
    if checkpoints:
        checkpoints.mark(directory)
    return Built(description, directory, trained, time.perf_counter() - begin)


def _written(checkpoints: Checkpoints, run: Mapping[str, Any], model: Path) -> Path | None:
    """Returns the version that a finished run was written as. If None, it is not finished, or not written there."""
    checkpoints.load(run)
    there = (path for path in checkpoints.published if path.parent == model.absolute())
    return next((path for path in there if (path / DESCRIPTION).is_file()), None)


@contextmanager
def _reports(
    world: distributed.World, running: Running, net: ResNet, loaded: data.Data, origin: metadata.Origin
) -> Iterator[Callable[[trainer.Progress], None]]:
    """Tells people and programs of the progress; in rank 0 only."""
    if world.rank > 0:
        yield lambda _: None
        return
    recipe = origin.recipe
    assert recipe is not None
    processes = f" in {world.size} processes" if world.size > 1 else ""
    progress.say(
        f"training {net.architecture.family} of depth {net.architecture.depth}: {net.parameter_count:,} parameters, "
        f"{len(loaded.train):,} images of {loaded.name}, recipe {recipe.name}, {origin.epochs} epochs{processes}"
    )
    with ExitStack() as stack:
        reports: list[loggers.Report] = [stack.enter_context(progress.TrainingDisplay(origin.epochs)).report]
        if running.log is not None:
            run: dict[str, Any] = {"seed": origin.seed, "net": asdict(net.architecture), "recipe": recipe.as_json()}
            run |= {"data": loaded.name, "images": len(loaded.train), "processes": world.size}
            reports.append(stack.enter_context(loggers.json_lines(running.log, run)))
        if running.tensorboard is not None:
            reports.append(stack.enter_context(loggers.tensorboard(running.tensorboard)))

        def tell(now: trainer.Progress) -> None:
            for report in reports:
                report(now)

        yield tell


def load_test_set(
    dataset: datasets.Name, directory: Path | None, shape: tuple[int, int, int], limit: int | None = None
) -> LabelledImages:
    """Reads the test part of a data set as a model takes it.

    Args:
        dataset: Which one.
        directory: Where its files are.
        shape: Height, width and channels of the model's images.
        limit: How many images. If None, all.

    Raises:
        ExporterError: The images are of another size.
        DatasetError: They cannot be read.
    """
    part = datasets.load(dataset, directory, "test").head(limit)
    for note in part.notes:
        progress.note(note)
    images = part.images if isinstance(part.images, np.ndarray) else datasets.read_pictures(part.images, *shape)
    if images.shape[1:] != shape:
        raise ExporterError(f"images of {dataset} are {_times(images.shape[1:])}; the model takes {_times(shape)}")
    return LabelledImages(dataset, images, part.labels, part.classes)


def choose_device(wanted: str) -> torch.device:
    """The device of this name; `auto` takes CUDA where there is a GPU.

    Raises:
        ExporterError: There is no such device here.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ExporterError("--device cuda: PyTorch finds no GPU here; use --device cpu")
    return torch.device(wanted)


def _as_test_set(loaded: data.Data) -> LabelledImages:
    images = loaded.test.images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return LabelledImages(loaded.name, images, loaded.test.labels.cpu().numpy(), loaded.classes)


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
