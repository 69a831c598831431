"""`resprobe lesions`."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resprobe import datasets
from resprobe._client import Client
from resprobe._results import lesions as results
from resprobe._results.model import Model
from resprobe._results.statistics import summarise
from resprobe.analysis import resized
from resprobe.analysis.collect import fitted, sweep
from resprobe.analysis.sweeps.answers import as_sent
from resprobe.cli import tables
from resprobe.cli.options import Selection, console, print_notes
from resprobe.cli.source import check_limit
from resprobe.datasets import Name


@dataclass(frozen=True)
class Lesions(Selection):
    """Remove residual blocks from a net while it answers, and measure its accuracy without them.

    Removes every single block, and with --random some numbers of random blocks (Veit et al. 2016). The ratio
    ‖F(x)‖ / ‖s(x)‖ beside each block is that of the intact net on the same images.

    Examples:
      resprobe lesions --dataset cifar10 --data ~/cifar --limit 1000 --plot lesions.png
      resprobe lesions --dataset digits --random 1 2 3 4 5 --draws 10 --json
    """

    dataset: Name = field(kw_only=True)
    """Labelled images to send: the test images of digits, cifar10 or cifar100, or a folder with one directory of
    pictures for each class."""
    data: Path | None = None
    """Directory with the files of --dataset. Not needed for digits."""
    limit: int | None = None
    """Maximum number of images to send. Default: all."""
    resize: bool = False
    """Resize images whose size or channels differ from the model's. Without it, such a data set is refused."""
    random: tuple[int, ...] = ()
    """Numbers of blocks to remove at random, for example 1 2 5 10. Default: none."""
    draws: int = 5
    """Number of random choices for each number in --random."""
    seed: int = 0
    """Seed of the random choices of blocks."""
    plot: Path | None = None
    """File to draw the accuracy without each block to, and the error without random blocks, .svg or .png."""

    def run(self) -> None:
        """Asks the server, draws and prints."""
        check_limit(self.limit)
        if self.plot is not None:
            from resprobe import plots

            plots.check_path(self.plot)
        with self.client() as client:
            self._ask(client, datasets.load(self.dataset, self.data, "test").head(self.limit))

    def _ask(self, client: Client, dataset: datasets.Dataset) -> None:
        model, begin = client.model(self.model, self.version), time.perf_counter()
        labels, notes = fitted(dataset, model, self.resize)
        if not isinstance(dataset.images, np.ndarray):  # decoded once, not for every lesion
            dataset, resizes = _decoded(dataset, model)
            notes += resizes
        lesions = client.lesions(
            as_sent(np.asarray(dataset.images), model),
            labels,
            model=model.name,
            version=model.version,
            random=self.random,
            draws=self.draws,
            seed=self.seed,
            progress=True,
        )
        ratios = None
        if model.has_blocks:
            ratios = summarise(sweep(client, dataset, model, resize=self.resize).blocks.ratio).mean
        seconds = time.perf_counter() - begin
        try:
            if self.plot is not None:
                from resprobe import plots

                source = f"{len(dataset):,} images of {dataset.name}"
                plots.save(plots.plot_lesions(lesions, model, source), self.plot)
        finally:  # what was found is shown, even if it cannot be drawn
            self._show(lesions, ratios, dataset.name, seconds, notes)

    def _show(
        self,
        lesions: results.Lesions,
        ratios: npt.NDArray[np.float64] | None,
        name: str,
        seconds: float,
        notes: tuple[str, ...],
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
            f"accuracy {lesions.accuracy:.4f} intact, {seconds:.1f} s",
            markup=False,
        )
        print_notes(notes)


def _decoded(dataset: datasets.Dataset, model: Model) -> tuple[datasets.Dataset, tuple[str, ...]]:
    """Decodes a data set of files into one of arrays of the model's size; returns it with notes on resized pictures."""
    shape, paths = (model.height, model.width, model.channels), [Path(path) for path in dataset.images]
    pictures = [datasets.read_fitted(path, *shape, model.preprocessing) for path in paths]
    notes = resized.notes([str(path) for path in paths], [one.resized_from for one in pictures], model)
    return replace(dataset, images=np.stack([one.pixels for one in pictures])), notes
