"""What all parts of the benchmark are given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resprobe_server.config import Config
from resprobe_server.execution.providers import Provider, choose

Device = Literal["cuda", "cpu"]


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
        """In the model repository."""
        return f"resnet{self.depth}"


FULL = (
    Model(20, 32, (32, 128, 512)),
    Model(110, 32, (32, 128, 512)),
    Model(50, 224, (32, 128)),  # He et al. 2015, Table 1
)
QUICK = (Model(8, 32, (2, 4)),)


@dataclass(frozen=True)
class Settings:
    """What to run, and on what.

    Attributes:
        device: Where graphs and nets run.
        quick: Whether to run everything tiny, to see that it works.
        repository: Of the models; the part `models` writes it.
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
        """Those to measure."""
        return QUICK if self.quick else FULL

    @property
    def turns(self) -> int:
        """How often each contender gets its turn."""
        return 2 if self.quick else 3

    @property
    def seconds(self) -> float:
        """Length of a turn."""
        return 0.02 if self.quick else 0.1

    def directory(self, model: Model) -> Path:
        """Where a model's graphs are."""
        return self.repository / model.name / "1"

    def written(self) -> list[Model]:
        """The models that are there. Raises RuntimeError if there are none."""
        found = [model for model in self.models if (self.directory(model) / "model.json").is_file()]
        if not found:
            raise RuntimeError(f"no models in {self.repository}: the part `models` writes them")
        return found

    def provider(self, cuda_graphs: bool = False) -> Provider:
        """Where graphs run. Raises StartError if CUDA is wanted and does not work here."""
        found = choose(Config(self.repository, device=self.device, threads=1 if self.quick else 0))
        return Provider(found.name, found.threads, cuda_graphs)

    @property
    def recordings(self) -> tuple[bool, ...]:
        """Without and with CUDA graphs, where there is CUDA."""
        return (False, True) if self.device == "cuda" else (False,)
