"""`exporter build`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from resprobe_exporter.commands.common import print_built


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
      exporter build --depth 56 --log-file run.jsonl --record-every 50
      torchrun --standalone --nproc-per-node 2 -m resprobe_exporter build --depth 56 --dataset cifar10 --data ~/cifar
    """

    depth: int
    """Weighted layers: 6n+2, for example 20, 32, 44, 56, 110, 1202."""
    family: Literal["resnet", "plain", "preact"] = "resnet"
    """resnet: ReLU after the addition. plain: the same layers without shortcuts. preact: He et al. 2016."""
    shortcut: Literal["A", "A-append", "A-avgpool", "A-append-avgpool", "B", "C"] = "A"
    """Where the number of channels changes: A pads with zeros, B projects. C projects everywhere. A takes every second
    position and adds zero channels on both sides; A-append adds them after the others, as fb.resnet.torch does;
    A-avgpool and A-append-avgpool average 2×2 positions instead."""
    dataset: Literal["digits", "cifar10", "cifar100", "folder"] = "digits"
    """What to train on. CIFAR in its binary layout; folder: one directory of pictures for each class."""
    data: Path | None = None
    """Directory of the data set's files."""
    image_size: int = 32
    """Height and width that the pictures of a folder are resized to."""
    mirror: bool | None = None
    """Whether training may mirror images. Default: for every data set but digits."""
    recipe: Literal["fast", "paper"] = "fast"
    """fast: one cycle, 15 epochs of digits or 30 of the others. paper: He et al. 2015, §4.2, 64,000 steps."""
    epochs: int | None = None
    """Passes over the training images instead of the recipe's; milestones move along. 0 writes an untrained net."""
    validation: int = 0
    """Training images to hold out; accuracy on them is shown after each epoch. The paper holds out 5000 of CIFAR-10."""
    seed: int = 0
    """Seed of weights and order of images: the same one gives the same weights on the same machine."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes the GPU if there is one."""
    compile: bool = False
    """Compile the net before training: about a minute on a CPU, which only long runs earn back."""
    checkpoint: Path | None = None
    """Directory to write the state of the training to, every 30 s."""
    resume: bool = False
    """Go on from the checkpoint, if there is one."""
    log_file: Path | None = None
    """Append JSON lines to this file: one at the end of each epoch and for each step that --record-every names."""
    tensorboard: Path | None = None
    """Write the same for TensorBoard to this directory."""
    record_every: int = 0
    """Log gradient norms, responses and ratios of all layers every so many steps."""
    repository: Path = Path("models")
    """Model repository to write to."""
    name: str | None = None
    """Name of the model. Default: family and depth, for example resnet20."""
    json: bool = False
    """Print the result as JSON."""

    def run(self) -> None:
        """Trains and writes."""
        from resprobe_exporter import progress
        from resprobe_exporter.nets.resnet import Architecture
        from resprobe_exporter.training import data, recipes
        from resprobe_exporter.versions import build

        self._check()
        architecture = Architecture(self.family, self.depth, self.shortcut)
        device = build.choose_device(self.device)
        chosen = recipes.choose(self.recipe, self.dataset, self.epochs)
        loaded = data.load(
            self.dataset,
            self.data,
            self.image_size,
            self.mirror,
            self.seed,
            mean=chosen.mean,
            validation=self.validation,
        )
        for note in loaded.notes:
            progress.note(note)
        channels, height, width = loaded.shape
        architecture = replace(architecture, height=height, width=width, channels=channels, classes=len(loaded.classes))
        name = self.name or f"{self.family}{self.depth}"
        running = build.Running(
            self.checkpoint, self.resume, self.log_file, self.tensorboard, self.record_every, self.compile
        )
        built = build.build(architecture, loaded, chosen, self.seed, device, self.repository, name, running)
        if built is not None:
            print_built(built, self.json)

    def _check(self) -> None:
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
