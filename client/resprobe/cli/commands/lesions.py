"""`resprobe lesions`."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from resprobe import datasets
from resprobe._client import Client
from resprobe._results.lesions import Lesions as Found
from resprobe._results.model import Model
from resprobe._results.statistics import summarise
from resprobe.analysis import resized
from resprobe.analysis.collect import fitted, sweep
from resprobe.cli import tables
from resprobe.cli.options import Selection, console, print_notes, progress_bar
from resprobe.errors import InvalidRequest


@dataclass(frozen=True)
class Lesions(Selection):
    """Remove blocks from a net while it answers, and see what it is worth without them.

    Every single block, and with --random some numbers of random blocks (Veit et al. 2016). The ratio ‖F(x)‖ / ‖s(x)‖
    that stands beside is that of the intact net on the same images.

    Examples:
      resprobe lesions --dataset cifar10 --data ~/cifar --limit 1000 --plot lesions.png
      resprobe lesions --dataset digits --random 1 2 3 4 5 --draws 10 --json
    """

    dataset: Literal["digits", "cifar10", "cifar100", "folder"] = field(kw_only=True)
    """The test images of a data set, or all of a folder with one directory for each class."""
    data: Path | None = None
    """Directory of the data set's files."""
    limit: int | None = None
    """Images of the data set, at most."""
    resize: bool = False
    """Take a data set whose images are of another size or colour than the model's, and resize them."""
    random: tuple[int, ...] = ()
    """Numbers of blocks to remove at random."""
    draws: int = 5
    """Random choices of blocks for each number of blocks."""
    seed: int = 0
    """Seed of the random choices of blocks."""
    plot: Path | None = None
    """Draw the accuracy without each block, and the error without random ones, to this file, .svg or .png."""

    def run(self) -> None:
        """Asks, draws and prints."""
        if self.limit is not None and self.limit < 1:
            raise InvalidRequest(f"--limit {self.limit}: expected 1 or more")
        if self.plot is not None:
            from resprobe.plots import ratios

            ratios.check_path(self.plot)
        with self.client() as client:
            self._ask(client, datasets.load(self.dataset, self.data, "test").head(self.limit))

    def _ask(self, client: Client, dataset: datasets.Dataset) -> None:
        model, begin = client.model(self.model, self.version), time.perf_counter()
        labels, notes = fitted(dataset, model, self.resize)
        if not isinstance(dataset.images, np.ndarray):  # decoded once, not for every lesion
            dataset, resizes = _decoded(dataset, model)
            notes += resizes
        with progress_bar(f"{model.name} on {dataset.name}") as report:
            lesions = client.lesions(
                dataset.images,
                labels,
                model=model.name,
                version=model.version,
                random=self.random,
                draws=self.draws,
                seed=self.seed,
                progress=report,
            )
            ratios = None
            if model.has_blocks:
                ratios = summarise(sweep(client, dataset, model, resize=self.resize).blocks.ratio).mean
        seconds = time.perf_counter() - begin
        try:
            if self.plot is not None:
                from resprobe.plots.lesions import plot_lesions

                plot_lesions(lesions, model, f"{len(dataset):,} images of {dataset.name}", self.plot)
        finally:  # what was found is shown, even if it cannot be drawn
            self._show(lesions, ratios, dataset.name, seconds, notes)

    def _show(
        self, lesions: Found, ratios: npt.NDArray[np.float64] | None, name: str, seconds: float, notes: tuple[str, ...]
    ) -> None:
        if self.json:
            self.show({**tables.lesions_json(lesions, ratios), "dataset": name, "seconds": seconds, "notes": notes})
            return
        console.print(tables.lesions_table(lesions, ratios))
        if self.random:
            console.print()
            console.print(tables.random_lesions_table(lesions))
        console.print(
            f"\n{lesions.model} version {lesions.version} on {lesions.images:,} images of {name}: "
            f"accuracy {lesions.accuracy:.4f} intact, {seconds:.1f} s"
        )
        print_notes(notes)


def _decoded(dataset: datasets.Dataset, model: Model) -> tuple[datasets.Dataset, tuple[str, ...]]:
    """Returns a data set of files as one of arrays of the model's size, and what is to be said of it."""
    size, paths = (model.height, model.width), [Path(path) for path in dataset.images]
    pictures = [datasets.read_fitted(path, *size, model.channels) for path in paths]
    said = resized.notes([str(path) for path in paths], [one.resized_from for one in pictures], size)
    return replace(dataset, images=np.stack([one.pixels for one in pictures])), said
