"""What a study trains or takes, and what it measures: all that decides its numbers."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from resprobe import datasets

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.importing import state_dict
from resprobe_exporter.nets.info import Shortcut
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import Architecture
from resprobe_exporter.training.recipes import RECIPES, Recipe

Family = Literal["plain", "resnet"]
FAMILIES: tuple[Family, ...] = ("plain", "resnet")
DEPTHS = (8, 14, 20, 32, 44, 56)


@dataclass(frozen=True)
class Job:
    """One net of a study.

    Attributes:
        family: With shortcuts or without.
        depth: Weighted layers.
        seed: Of everything random; of a net that is taken, its number among those of its family and depth.
        weights: File that the net is taken from. If None, it is trained.
    """

    family: Family
    depth: int
    seed: int
    weights: Path | None = None

    @property
    def name(self) -> str:
        """plain20-seed0, or resnet20-weights0 for a net that is taken."""
        return f"{self.family}{self.depth}-{'seed' if self.weights is None else 'weights'}{self.seed}"


@dataclass(frozen=True)
class Taken:
    """Weights of other people's making, instead of training.

    Attributes:
        resnet: Checkpoints of residual nets.
        plain: Checkpoints of plain nets.
        preprocessing: That they were trained with.
        weights: Which of those in a file; see `states.choose`.
    """

    resnet: tuple[Path, ...]
    plain: tuple[Path, ...]
    preprocessing: Preprocessing
    weights: str | None = None


@dataclass(frozen=True)
class Plan:
    """A study.

    Attributes:
        recipe: How every net is trained; of nets that are taken, only its batch size is used, to set the batch norms
            of their untrained twins.
        dataset: What is learnt.
        data: Directory of its files.
        depths: Of the nets, each 6n+2; ignored for nets that are taken.
        seeds: Nets of each family and depth.
        shortcut: Where the number of channels changes.
        taken: Weights to measure instead of training; None trains.
        limit: Images of each part that errors, responses and ratios are measured on. If None, all.
        lesion_limit: Test images that lesions are measured on.
        gradient_images: Training images that gradients are measured on.
    """

    recipe: Recipe
    dataset: datasets.Name = "digits"
    data: Path | None = None
    depths: tuple[int, ...] = DEPTHS
    seeds: int = 3
    shortcut: Shortcut = "A"
    taken: Taken | None = None
    limit: int | None = None
    lesion_limit: int = 1000
    gradient_images: int = 256

    def __post_init__(self) -> None:
        """Refuses what cannot be studied."""
        for name in ("seeds", "limit", "lesion_limit", "gradient_images"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ExporterError(f"--{name.replace('_', '-')} {value}: expected 1 or more")
        if self.taken is None:
            if not self.depths or len(set(self.depths)) < len(self.depths):
                raise ExporterError(f"--depths {' '.join(map(str, self.depths))}: expected different depths")
            if self.recipe.epochs < 1:
                raise ExporterError(f"--epochs {self.recipe.epochs}: expected 1 or more")
            for depth in self.depths:
                Architecture(depth=depth)

    def jobs(self) -> list[Job]:
        """All nets, the deepest first: that leaves the processors idle least.

        Raises:
            CheckpointError: A file of weights cannot be read, or is no net of ours.
        """
        found = list(self._trained() if self.taken is None else _taken(self.taken))
        return sorted(found, key=lambda job: -job.depth)

    def _trained(self) -> Iterator[Job]:
        for seed in range(self.seeds):
            for depth in self.depths:
                for family in FAMILIES:
                    yield Job(family, depth, seed)

    def conditions(self, job: Job) -> dict[str, Any]:
        """All but depth, family and seed that decides the numbers of a net, as JSON takes it."""
        known: dict[str, Any] = {
            "dataset": self.dataset,
            "shortcut": self.shortcut,
            "recipe": self.recipe.as_json(),
            "limit": self.limit,
            "lesion_limit": self.lesion_limit,
            "gradient_images": self.gradient_images,
        }
        if self.taken is not None and job.weights is not None:
            known["weights_sha256"] = hashlib.sha256(job.weights.read_bytes()).hexdigest()
            known["preprocessing"] = {key: list(value) for key, value in vars(self.taken.preprocessing).items()}
        return known


def _taken(taken: Taken) -> Iterator[Job]:
    counts: dict[tuple[Family, int], int] = {}
    files: Mapping[Family, tuple[Path, ...]] = {"plain": taken.plain, "resnet": taken.resnet}
    for family, paths in files.items():
        for path in paths:
            depth = state_dict.examine(state_dict.read(path, taken.weights)).depth
            seed = counts[family, depth] = counts.get((family, depth), -1) + 1
            yield Job(family, depth, seed, path)


def default_recipe(dataset: datasets.Name, epochs: int | None = None) -> Recipe:
    """The recipe for a data set; for digits with a larger batch and fewer epochs than a single net is built with.

    At 12 epochs the default study's 36 nets fit into 15 minutes on two cores with time to spare.
    """
    recipe = replace(RECIPES["digits"], epochs=12, batch_size=64, learning_rate=0.1)
    if dataset != "digits":
        recipe = RECIPES[dataset]
    return recipe if epochs is None else replace(recipe, epochs=epochs)
