"""`exporter build`."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resprobe import datasets

from resprobe_exporter.commands.options import Device, choose_device, readout_images
from resprobe_exporter.commands.precision import SecondModel
from resprobe_exporter.nets.info import Family, Shortcut
from resprobe_exporter.quantization.settings import Precision

if TYPE_CHECKING:
    from resprobe_exporter.versions.build import Running, Training


@dataclass(frozen=True)
class Build:
    """Train a net and write it as a new version.

    Without --dataset it trains on scikit-learn's digits, which need no download.

    Examples:
      exporter build --depth 110
      exporter build --depth 20 --family plain
      exporter build --depth 56 --shortcut B --dataset cifar10 --data ~/cifar --name resnet56b
      exporter build --depth 20 --dataset folder --data ~/pictures --image-size 64
      exporter build --depth 110 --recipe paper --dataset cifar10 --data ~/cifar --checkpoint run --resume
      exporter build --depth 20 --precision int8
      exporter build --depth 56 --log-file run.jsonl --record-every 50
      torchrun --standalone --nproc-per-node 2 -m resprobe_exporter build --depth 56 --dataset cifar10 --data ~/cifar
    """

    depth: int
    """Number of weighted layers: 6n+2, for example 20, 32, 44, 56, 110, 1202."""
    family: Family = "resnet"
    """Kind of net. resnet: ReLU after the addition (He et al. 2015). plain: the same layers without shortcuts. preact:
    batch norm and ReLU before each convolution (He et al. 2016)."""
    shortcut: Shortcut = "A"
    """Shortcut option. A: where the number of channels changes, take every second position and add zero channels on
    both sides. A-append: add the zero channels after the others, as fb.resnet.torch does. A-avgpool, A-append-avgpool:
    average 2×2 positions. B: a projection where the number of channels changes. C: projections everywhere."""
    dataset: datasets.Name = "digits"
    """Data set to train on. digits: scikit-learn's. cifar10, cifar100: the binary layout. folder: a directory of
    pictures for each class."""
    data: Path | None = None
    """Directory of the data set's files. Not used for digits."""
    image_size: int = 32
    """Height and width in pixels to which the pictures of a folder are resized."""
    mirror: bool | None = None
    """Mirror training images at random. Default: for all data sets but digits."""
    recipe: Literal["fast", "paper"] = "fast"
    """Hyperparameters. fast: one cycle of learning rates, 15 epochs of digits or 30 of other data sets. paper: those of
    He et al. 2015, §4.2, 64,000 steps."""
    epochs: int | None = None
    """Passes over the training images. Milestones of the recipe are scaled; 0 writes an untrained net. Default: those
    of the recipe."""
    validation: int = 0
    """Number of training images to hold out, on which accuracy is shown after each epoch. The paper holds out 5000 of
    CIFAR-10."""
    seed: int = 0
    """Seed of weights, order of images and augmentation. The same seed gives the same weights on the same machine."""
    device: Device = "auto"
    """Device to train on. auto: the GPU if there is one."""
    compile: bool = False
    """Compile the net before training, which takes about a minute on a CPU and pays off in long trainings."""
    checkpoint: Path | None = None
    """Checkpoint directory, written every 30 seconds. Default: no checkpoints are written."""
    resume: bool = False
    """Continue from the checkpoint, if there is one."""
    log_file: Path | None = None
    """File to append JSON lines to: one at the end of each epoch, and one for each step of --record-every."""
    tensorboard: Path | None = None
    """Directory for TensorBoard's event files."""
    record_every: int = 0
    """Number of steps between two that log gradient norms, responses and ratios of all layers. 0: no step does."""
    precision: Precision | None = None
    """Precision of a second model to write, made of the first: NAME-int8, calibrated on training images, or
    NAME-float16. Default: the float32 model alone."""
    readouts: datasets.Name | None = None
    """Data set on whose training images linear heads are fitted, which read classes off the blocks before the last
    stage. Its files are in --data. Default: no heads are fitted."""
    repository: Path = Path("models")
    """Model repository to write to."""
    name: str | None = None
    """Name of the model. Default: family and depth, for example resnet20."""
    json: bool = False
    """Print the result as JSON."""

    def run(self) -> None:
        """Trains and writes."""
        from resprobe_exporter.versions.build import build

        begin = time.perf_counter()
        self._check()
        second = SecondModel(self.precision, self.dataset, self.data)
        second.check()
        name = self.name or f"{self.family}{self.depth}"
        training = self._training()
        net = training.architecture
        shape = net.height, net.width, net.channels
        readouts = readout_images(self.readouts, self.data, shape, self.seed)
        version = build(training, self._running(), self.repository, name, readouts)
        if version is not None:
            second.finish(version, begin, self.repository, self.json)

    def _training(self) -> "Training":
        """Reads the data, and fits the net to them."""
        from resprobe_exporter import progress
        from resprobe_exporter.nets.resnet import Architecture
        from resprobe_exporter.training import data, recipes
        from resprobe_exporter.versions.build import Training

        architecture = Architecture(self.family, self.depth, self.shortcut)
        recipe = recipes.choose(self.recipe, self.dataset, self.epochs)
        loaded = data.load(
            self.dataset,
            self.data,
            self.image_size,
            self.mirror,
            self.seed,
            mean=recipe.mean,
            validation=self.validation,
        )
        for note in loaded.notes:
            progress.note(note)
        channels, height, width = loaded.shape
        architecture = replace(architecture, height=height, width=width, channels=channels, classes=len(loaded.classes))
        return Training(architecture, loaded, recipe, self.seed)

    def _running(self) -> "Running":
        from resprobe_exporter.versions.build import Running
        from resprobe_exporter.versions.training_reports import Logs

        device, logs = choose_device(self.device), Logs(self.log_file, self.tensorboard)
        return Running(device, self.checkpoint, self.resume, logs, self.record_every, self.compile)

    def _check(self) -> None:
        """Raises ExporterError for options that are wrong whatever the data are."""
        from resprobe_exporter.errors import ExporterError

        if self.image_size < 1:
            raise ExporterError(f"--image-size {self.image_size}: expected 1 or more")
        for option in ("epochs", "validation", "record_every"):
            value = getattr(self, option)
            if value is not None and value < 0:
                raise ExporterError(f"--{option.replace('_', '-')} {value}: expected 0 or more")
        if self.resume and self.checkpoint is None:
            raise ExporterError("--resume needs --checkpoint DIR")
        if self.record_every and self.log_file is None and self.tensorboard is None:
            raise ExporterError("--record-every needs --log-file FILE or --tensorboard DIR")
