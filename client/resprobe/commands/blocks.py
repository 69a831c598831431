"""`resprobe blocks`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from resprobe import datasets, table
from resprobe.client import Client
from resprobe.commands.common import Selection, console, progress_bar
from resprobe.errors import InvalidRequest
from resprobe.result import Model
from resprobe.statistics import BlockStatistics
from resprobe.sweep import sweep


@dataclass(frozen=True)
class Blocks(Selection):
    """Show what each residual block did: the magnitude of its branch F(x) against its shortcut s(x).

    For picture files, or for a labelled data set. With several images the table and the plot show means, and how
    widely the ratio spreads.

    Examples:
      resprobe blocks cat.jpg
      resprobe blocks cat.jpg --plot blocks.svg
      resprobe blocks --dataset cifar10 --data ~/cifar --limit 1000 --plot blocks.png
      resprobe blocks --dataset cifar10 --data ~/cifar --out stats.parquet
    """

    images: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Files."""
    dataset: Literal["digits", "cifar10", "cifar100", "folder"] | None = None
    """Instead of files: the test images of a data set, or all of a folder with one directory for each class."""
    data: Path | None = None
    """Directory of the data set's files."""
    limit: int | None = None
    """Images of the data set at the most."""
    out: Path | None = None
    """Write one row for each image of the data set to this Parquet file."""
    plot: Path | None = None
    """Draw the ratio of every block to this file, .svg or .png."""

    def run(self) -> None:
        """Asks, draws and prints."""
        self._check()
        with self.client() as client:
            if self.dataset is None:
                self._files(client)
            else:
                self._dataset(client, datasets.load(self.dataset, self.data, "test").head(self.limit))

    def _check(self) -> None:
        if bool(self.images) == (self.dataset is not None):
            raise InvalidRequest("expected either picture files or --dataset; see resprobe blocks --help")
        if self.dataset is None and self.out is not None:
            raise InvalidRequest("--out needs --dataset; for picture files use --json")
        if self.limit is not None and self.limit < 1:
            raise InvalidRequest(f"--limit {self.limit}: expected 1 or more")
        if self.plot is not None:
            from resprobe import plot

            plot.check_path(self.plot)

    def _files(self, client: Client) -> None:
        sources = [str(path) for path in self.images]
        result = client.classify(list(self.images), model=self.model, version=self.version, blocks=True, top_k=1)
        assert result.blocks is not None
        model = client.model(result.model, result.version)
        what = sources[0] if len(sources) == 1 else f"{len(sources)} images"
        self._draw(result.blocks, model, what)
        if self.json:
            self.show(table.blocks_json(sources, result, model.classes))
        else:
            console.print(table.classes_table(sources, result, model.classes))
            console.print()
            console.print(table.blocks_table(result.blocks, model))

    def _dataset(self, client: Client, dataset: datasets.Dataset) -> None:
        model = client.model(self.model, self.version)
        with progress_bar(f"{model.name} on {dataset.name}") as report:
            swept = sweep(client, dataset, model, self.out, report)
        self._draw(swept.blocks, model, f"{len(dataset):,} images of {dataset.name}")
        if self.json:
            self.show(
                {
                    "model": model.name,
                    "version": model.version,
                    "dataset": dataset.name,
                    "images": len(dataset),
                    "accuracy": swept.accuracy,
                    "seconds": swept.seconds,
                    "blocks": table.summary_json(swept.blocks),
                }
            )
            return
        console.print(table.blocks_table(swept.blocks, model))
        rate = len(dataset) / swept.seconds
        console.print(
            f"\n{model.name} version {model.version} on {len(dataset):,} images of {dataset.name}: "
            f"accuracy {swept.accuracy:.4f}, {swept.seconds:.1f} s, {rate:,.0f} images/s"
        )

    def _draw(self, blocks: BlockStatistics, model: Model, source: str) -> None:
        if self.plot is not None:
            from resprobe import plot

            plot.plot_ratios(blocks, model, source, self.plot)
