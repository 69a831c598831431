"""`exporter build`: trains a net and writes it as a new version."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from resprobe import _files
from resprobe_protos.contract import DESCRIPTION

from resprobe_exporter import progress
from resprobe_exporter.exits.write import ExitOptions
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.training import distributed, trainer
from resprobe_exporter.training.data import Data
from resprobe_exporter.training.recipes import Recipe
from resprobe_exporter.training.training_checkpoint import Checkpoints, describe_run
from resprobe_exporter.versions import metadata, succession, training_reports
from resprobe_exporter.versions.candidate import Candidate, Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.training_reports import Logs
from resprobe_exporter.versions.writer import NewVersion, with_exits, write_version


@dataclass(frozen=True)
class Training:
    """A net and its training: everything that decides the weights.

    Attributes:
        architecture: Shape of the net; its image and classes fit the data.
        data: Images to train on and to measure with.
        recipe: Hyperparameters.
        seed: Seed of the weights, the order of the images and their augmentation.
    """

    architecture: Architecture
    data: Data
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Running:
    """Options of a training that do not affect the weights.

    Attributes:
        device: Device to train on.
        checkpoint: Checkpoint directory. If None, no checkpoints are written.
        resume: Whether to continue from the checkpoint, if there is one.
        logs: Files to log to.
        record_every: Steps between two that log the responses and gradients of all layers. If 0, none does.
        compiled: Whether to compile the net first.
    """

    device: torch.device
    checkpoint: Path | None = None
    resume: bool = False
    logs: Logs = field(default_factory=Logs)
    record_every: int = 0
    compiled: bool = False

    def options(self, world: distributed.World) -> trainer.TrainingOptions:
        """Returns the options of the training loop. A GPU reports every 20 steps, as each report waits for it."""
        return trainer.TrainingOptions(world, self.compiled, self.record_every, 20 if self.device.type == "cuda" else 1)

    def checkpoints(self) -> Checkpoints | None:
        """Opens the checkpoint directory. If None, no checkpoints are written.

        Raises:
            CheckpointError: There is a checkpoint, and it is not to be used.
        """
        return None if self.checkpoint is None else Checkpoints(self.checkpoint, self.resume)


def build(
    training: Training,
    running: Running,
    root: Path,
    name: str,
    readouts: TrainingImages | None = None,
    exits: ExitOptions | None = None,
) -> NewVersion | None:
    """Trains a net and writes it as the next version of a model.

    Args:
        training: Net, data and hyperparameters.
        running: Device, checkpoints and logs.
        root: Model repository.
        name: Name of the model.
        readouts: Training images to fit heads on, for readouts before the last stage. If None, there are no heads.
        exits: How the net is cut for early exits. If None, it is not.

    Returns:
        The version. If None, this process only helped to train it under torchrun. For a finished run that is resumed
        and was written to this model, that version: nothing is written.

    Raises:
        ExporterError: The repository or a file cannot be written, or the model has versions of another kind.
        CheckpointError: There is a checkpoint that is not to be used, or it cannot be written.
        TrainingDiverged: The loss is not finite.
    """
    begin = time.perf_counter()
    channels, height, width = training.data.shape
    succession.check(root, name, (height, width, channels), training.data.classes)  # before the time is spent
    _files.check(running.logs.json_lines, what="a log")
    checkpoints = running.checkpoints()
    with distributed.join(running.device) as world:
        net = _create(training, running.device)
        if checkpoints and (written := _written(checkpoints, _run(net, training), root / name)):
            progress.note(f"{checkpoints.path} is of a finished run, which was written as {written}: nothing is new")
            return NewVersion(metadata.read(written), written) if world.rank == 0 else None
        _train(net, training, running, checkpoints, world)
    if world.rank > 0:
        return None
    seconds = time.perf_counter() - begin
    candidate = _candidate(net, training)
    version = write_version(candidate, root, name, with_exits(exits, candidate.test_set), readouts)
    if checkpoints:
        checkpoints.mark(version.directory)
    return NewVersion(version.description, version.directory, seconds)


def _create(training: Training, device: torch.device) -> ResNet:
    """Creates the untrained net."""
    torch.manual_seed(training.seed)
    torch.backends.cudnn.deterministic = True
    return ResNet(training.architecture).to(device)


def _run(net: ResNet, training: Training) -> dict[str, Any]:
    return describe_run(net, training.data, training.recipe, training.seed)


def _written(checkpoints: Checkpoints, run: Mapping[str, Any], model: Path) -> Path | None:
    """Returns the version that a finished run was written as. If None, it is not finished, or not written there."""
    checkpoints.load(run)
    versions = (path for path in checkpoints.published if path.parent == model.absolute())
    return next((path for path in versions if (path / DESCRIPTION).is_file()), None)


def _train(
    net: ResNet, training: Training, running: Running, checkpoints: Checkpoints | None, world: distributed.World
) -> None:
    """Trains a net; the first process reports."""
    data, options = training.data.to(running.device), running.options(world)
    with _reports(net, training, running.logs, world) as report:
        trainer.train(net, data, training.recipe, training.seed, report, checkpoints=checkpoints, options=options)


@contextmanager
def _reports(
    net: ResNet, training: Training, logs: Logs, world: distributed.World
) -> Iterator[Callable[[trainer.Progress], None]]:
    if world.rank > 0:
        yield lambda _: None
        return
    recipe, seed = training.recipe, training.seed
    with training_reports.reports(logs, net, training.data, recipe, seed, world.size) as report:
        yield report


def _candidate(net: ResNet, training: Training) -> Candidate:
    """Makes a candidate of a trained net."""
    data, recipe = training.data, training.recipe
    origin = Origin("trained here", training.seed, recipe.passes(len(data.train)), recipe.as_json())
    return net_candidate(net, Preprocessing(data.mean, data.std, data.pictures), data.classes, origin, _test_set(data))


def _test_set(data: Data) -> LabelledImages:
    images = data.test.images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return LabelledImages(data.name, images, data.test.labels.cpu().numpy(), data.classes)
