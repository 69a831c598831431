"""Plan of a study: the nets that are trained or imported, and everything else that determines its numbers."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from resprobe import datasets

from resprobe_exporter.checkpoints import state_dict
from resprobe_exporter.checkpoints.examine import examine
from resprobe_exporter.errors import ExporterError
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
        family: `resnet` has shortcuts, `plain` has none.
        depth: Number of weighted layers.
        seed: Seed of the weights and of training; for an imported net, its number among those of its family and depth.
        weights: Checkpoint of an imported net. If None, the net is trained.
    """

    family: Family
    depth: int
    seed: int
    weights: Path | None = None

    @property
    def name(self) -> str:
        """Name of the net, such as plain20-seed0, or resnet20-weights0 for an imported net."""
        return f"{self.family}{self.depth}-{'seed' if self.weights is None else 'weights'}{self.seed}"


@dataclass(frozen=True)
class ImportedNets:
    """Nets that were trained elsewhere, to measure instead of training.

    Attributes:
        resnet: Checkpoints of residual nets.
        plain: Checkpoints of plain nets.
        preprocessing: Mean and deviation that the nets were trained with.
        weights: Weights to read where a file holds several: `ema`, `raw` or a key. If None, the file's only weights.
    """

    resnet: tuple[Path, ...]
    plain: tuple[Path, ...]
    preprocessing: Preprocessing
    weights: str | None = None


@dataclass(frozen=True)
class StudyPlan:
    """Plan of a study.

    Attributes:
        recipe: Recipe that every net is trained by; for imported nets, only its batch size is used, to calibrate the
            batch norms of their untrained twins.
        dataset: Data set that the nets learn.
        data: Directory of the data set's files.
        depths: Depths of the nets, each 6n+2; ignored for imported nets.
        seeds: Number of nets of each family and depth.
        shortcut: Kind of shortcut where the number of channels changes.
        imported: Nets to measure instead of training. If None, nets are trained.
        limit: Maximum images of each part to measure errors, responses and ratios on. If None, all.
        lesion_limit: Maximum test images to measure lesions on.
        gradient_images: Training images to measure gradients on.
        head_images: Maximum training images to fit readouts on.
    """

    recipe: Recipe
    dataset: datasets.Name = "digits"
    data: Path | None = None
    depths: tuple[int, ...] = DEPTHS
    seeds: int = 3
    shortcut: Shortcut = "A"
    imported: ImportedNets | None = None
    limit: int | None = None
    lesion_limit: int = 1000
    gradient_images: int = 256
    head_images: int = 10_000

    def __post_init__(self) -> None:
        """Refuses plans that cannot be carried out."""
        for name in ("seeds", "limit", "lesion_limit", "gradient_images", "head_images"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ExporterError(f"--{name.replace('_', '-')} {value}: expected 1 or more")
        if self.imported is None:
            if not self.depths or len(set(self.depths)) < len(self.depths):
                raise ExporterError(f"--depths {' '.join(map(str, self.depths))}: expected different depths")
            if self.recipe.epochs < 1:
                raise ExporterError(f"--epochs {self.recipe.epochs}: expected 1 or more")
            for depth in self.depths:
                Architecture(depth=depth)

    def jobs(self) -> list[Job]:
        """Returns all nets, the deepest first: in that order, the processors are idle for the shortest time.

        Raises:
            CheckpointError: A checkpoint cannot be read, or does not hold a net of a known family.
        """
        found = list(self._trained() if self.imported is None else _imported(self.imported))
        return sorted(found, key=lambda job: -job.depth)

    def _trained(self) -> Iterator[Job]:
        for seed in range(self.seeds):
            for depth in self.depths:
                for family in FAMILIES:
                    yield Job(family, depth, seed)

    def conditions(self, job: Job) -> dict[str, Any]:
        """Returns everything but family, depth and seed that determines a net's numbers, as JSON values."""
        known: dict[str, Any] = {
            "dataset": self.dataset,
            "shortcut": self.shortcut,
            "recipe": self.recipe.as_json(),
            "limit": self.limit,
            "lesion_limit": self.lesion_limit,
            "gradient_images": self.gradient_images,
            "head_images": self.head_images,
        }
        if self.imported is not None and job.weights is not None:
            known["weights_sha256"] = hashlib.sha256(job.weights.read_bytes()).hexdigest()
            known["preprocessing"] = dict(zip(("mean", "std"), self.imported.preprocessing.as_lists(), strict=True))
        return known


def _imported(nets: ImportedNets) -> Iterator[Job]:
    counts: dict[tuple[Family, int], int] = {}
    files: Mapping[Family, tuple[Path, ...]] = {"plain": nets.plain, "resnet": nets.resnet}
    for family, paths in files.items():
        for path in paths:
            found = examine(state_dict.read(path, nets.weights))
            if found.layout is not None:
                raise ExporterError(
                    f"{path} holds a net for ImageNet; the study measures nets for CIFAR, of depth 6n+2"
                )
            depth = found.depth
            seed = counts[family, depth] = counts.get((family, depth), -1) + 1
            yield Job(family, depth, seed, path)


def default_recipe(dataset: datasets.Name, epochs: int | None = None) -> Recipe:
    """Returns the recipe for a data set; for digits, with a larger batch and fewer epochs than `exporter build` uses.

    At 12 epochs the default study's 36 nets fit into 15 minutes on two cores with time to spare.
    """
    recipe = replace(RECIPES["digits"], epochs=12, batch_size=64, learning_rate=0.1)
    if dataset != "digits":
        recipe = RECIPES[dataset]
    return recipe if epochs is None else replace(recipe, epochs=epochs)
