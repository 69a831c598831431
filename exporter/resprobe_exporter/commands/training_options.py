"""Options of `exporter build` that decide data and training."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from resprobe import datasets

from resprobe_exporter.commands.options import Device, ExitCommand, choose_device
from resprobe_exporter.commands.preprocess import Preset
from resprobe_exporter.quantization.settings import Precision

if TYPE_CHECKING:
    from resprobe_exporter.versions.build import Running


@dataclass(frozen=True, kw_only=True)
class TrainingCommand(ExitCommand):
    """Options that decide data and training."""

    dataset: datasets.Name = "digits"
    """Data set to train on. digits: scikit-learn's. cifar10, cifar100: the binary layout. folder: a directory of
    pictures for each class."""
    data: Path | None = None
    """Directory of the data set's files. Not used for digits."""
    image_size: Annotated[int, tyro.conf.arg(aliases=["--size"])] = 32
    """Height and width in pixels to which the pictures of a folder are resized."""
    preprocess: Preset = "none"
    """How the pictures of a folder become images. none: they are resized as a whole. imagenet: the shorter side is
    resized (bilinear) and the middle 0.875 of it are cut out. timm-bicubic: the same with bicubic interpolation.
    Servers and clients then do the same. Mean and deviation are those of the training images."""
    mirror: bool = False
    """Mirror training images at random, digits too. Default: all data sets but digits are mirrored."""
    no_mirror: bool = False
    """Mirror no training images: for text, signs, and other pictures that mean something else in a mirror."""
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
    """Name of the model. Default: that of the net, for example resnet20 or resnext50_32x4d."""
    json: bool = False
    """Print the result as JSON."""

    @property
    def mirrored(self) -> bool | None:
        """Whether training images are mirrored. If None, all are but digits."""
        return self.mirror if self.mirror or self.no_mirror else None

    def running(self) -> "Running":
        """Returns the options that do not affect the weights."""
        from resprobe_exporter.versions.build import Running
        from resprobe_exporter.versions.training_reports import Logs

        device, logs = choose_device(self.device), Logs(self.log_file, self.tensorboard)
        return Running(device, self.checkpoint, self.resume, logs, self.record_every, self.compile)

    def check(self) -> None:
        """Raises ExporterError for options that are wrong whatever the data are."""
        from resprobe_exporter.errors import ExporterError

        if self.preprocess != "none" and self.dataset != "folder":
            raise ExporterError(f"--preprocess {self.preprocess}: only the pictures of --dataset folder are cut")
        if self.mirror and self.no_mirror:
            raise ExporterError("--mirror and --no-mirror contradict each other; give one of them")
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
