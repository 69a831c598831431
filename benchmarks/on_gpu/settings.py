"""Settings of all parts of the benchmark."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resprobe_server.config import Config
from resprobe_server.execution.providers import Provider, choose

Device = Literal["cuda", "cpu"]
Precision = Literal["float32", "float16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float16")


@dataclass(frozen=True)
class Model:
    """A net to measure.

    Attributes:
        depth: Weighted layers.
        size: Height and width of its RGB images.
        batches: Batch sizes to run it at.
    """

    depth: int
    size: int
    batches: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the float32 model in the model repository."""
        return f"resnet{self.depth}"

    def named(self, precision: Precision) -> str:
        """Returns the model's name in the model repository, as `exporter quantize` names it."""
        return self.name if precision == "float32" else f"{self.name}-{precision}"


FULL = (
    Model(20, 32, (32, 128, 512)),
    Model(110, 32, (32, 128, 512)),
    Model(50, 224, (32, 128)),  # He et al. 2015, Table 1
)
QUICK = (Model(8, 32, (2, 4)),)


@dataclass(frozen=True)
class Settings:
    """Settings of all parts of the benchmark.

    Attributes:
        device: Device that graphs and nets run on.
        quick: Whether to run every part with tiny settings, to check the benchmark itself.
        repository: Model repository, which the part `models` writes.
        checkpoints: Directory of published weights, resnet20-*.th. If None, weights are random.
        data: Directory of CIFAR-10 in its binary layout. If None, images are noise.
    """

    device: Device
    quick: bool
    repository: Path
    checkpoints: Path | None = None
    data: Path | None = None

    @property
    def models(self) -> tuple[Model, ...]:
        """Nets to measure."""
        return QUICK if self.quick else FULL

    @property
    def turns(self) -> int:
        """Number of turns of each contender."""
        return 2 if self.quick else 3

    @property
    def seconds(self) -> float:
        """Seconds of a turn."""
        return 0.02 if self.quick else 0.1

    def directory(self, model: Model, precision: Precision = "float32") -> Path:
        """Returns the directory of a model's graphs."""
        return self.repository / model.named(precision) / "1"

    def has(self, model: Model, precision: Precision = "float32") -> bool:
        """Returns whether a model is in the repository."""
        return (self.directory(model, precision) / "model.json").is_file()

    def written(self) -> list[Model]:
        """Returns the models in the repository in float32. Raises RuntimeError if there are none."""
        found = [model for model in self.models if self.has(model)]
        if not found:
            raise RuntimeError(f"no models in {self.repository}: the part `models` writes them")
        return found

    def variants(self) -> list[tuple[Model, Precision]]:
        """Returns the models in the repository with each precision that is there. Raises RuntimeError if none is."""
        return [(model, one) for model in self.written() for one in PRECISIONS if self.has(model, one)]

    def provider(self, cuda_graphs: bool = False) -> Provider:
        """Returns the provider that graphs run on. Raises StartError if CUDA is wanted and does not work."""
        found = choose(Config(self.repository, device=self.device, threads=1 if self.quick else 0))
        return Provider(found.name, found.threads, cuda_graphs)

    @property
    def recordings(self) -> tuple[bool, ...]:
        """Whether to run without and with CUDA graphs; with them only on CUDA."""
        return (False, True) if self.device == "cuda" else (False,)
