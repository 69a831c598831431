"""`resprobe blocks`."""

import time
from dataclasses import dataclass
from pathlib import Path

from resprobe import _files
from resprobe._client import Client
from resprobe._results.model import Model
from resprobe._results.statistics import BlockStatistics
from resprobe.analysis.dataset_result import Frame
from resprobe.cli import pictures, tables
from resprobe.cli.options import Files, Selection, console, print_notes
from resprobe.cli.source import Source, ask
from resprobe.datasets import Dataset
from resprobe.errors import InvalidRequest


@dataclass(frozen=True)
class Blocks(Source, Selection):
    """Show what each residual block did: the magnitude of its branch F(x) against its shortcut s(x).

    For picture files, or for a labelled data set. With several images the table and the plot show means, and how
    widely the ratio spreads.

    Examples:
      resprobe blocks cat.jpg
      resprobe blocks cat.jpg --plot blocks.svg
      resprobe blocks --dataset cifar10 --data ~/cifar --limit 1000 --plot blocks.png
      resprobe blocks --dataset cifar10 --data ~/cifar --out stats.parquet
    """

    images: Files = ()
    """Files, instead of --dataset."""
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
                self._dataset(client, self.load())

    def _check(self) -> None:
        if bool(self.images) == (self.dataset is not None):
            raise InvalidRequest("expected either picture files or --dataset; see resprobe blocks --help")
        if self.dataset is None and self.out is not None:
            raise InvalidRequest("--out needs --dataset; for picture files use --json")
        _files.check(self.out)
        if self.plot is not None:
            from resprobe.plots import ratios

            ratios.check_path(self.plot)

    def _files(self, client: Client) -> None:
        answers = pictures.ask(client, self.images, self.model, self.version, 1, blocks=True)
        sources, result, model = answers.sources, answers.result, answers.model
        assert result.blocks is not None
        what = sources[0] if len(sources) == 1 else f"{len(sources)} images"
        try:
            self._draw(result.blocks, model, what)
        finally:  # what was asked for is shown, even if it cannot be drawn
            if self.json:
                self.show(tables.blocks_json(sources, result, model.classes))
            else:
                console.print(tables.classes_table(sources, result, model.classes))
                console.print()
                console.print(tables.blocks_table(result.blocks, model))
                print_notes(answers.notes)
        answers.check()

    def _dataset(self, client: Client, dataset: Dataset) -> None:
        model = client.model(self.model, self.version)
        begin = time.perf_counter()
        frame = ask(client, dataset, model, self.resize)
        seconds = time.perf_counter() - begin
        try:
            self._draw(frame.blocks, model, f"{len(dataset):,} images of {dataset.name}")
            if self.out is not None:
                from resprobe.analysis import arrow

                arrow.write(frame, self.out)
        finally:
            self._show(frame, seconds)

    def _show(self, frame: Frame, seconds: float) -> None:
        model = frame.model
        if self.json:
            self.show(
                {
                    "model": model.name,
                    "version": model.version,
                    "dataset": frame.dataset,
                    "images": len(frame),
                    "accuracy": frame.accuracy,
                    "seconds": seconds,
                    "notes": frame.notes,
                    "blocks": tables.summary_json(frame.blocks),
                }
            )
            return
        console.print(tables.blocks_table(frame.blocks, model))
        rate = len(frame) / seconds
        console.print(
            f"\n{model.name} version {model.version} on {len(frame):,} images of {frame.dataset}: "
            f"accuracy {frame.accuracy:.4f}, {seconds:.1f} s, {rate:,.0f} images/s"
        )
        print_notes(frame.notes)

    def _draw(self, blocks: BlockStatistics, model: Model, source: str) -> None:
        if self.plot is not None:
            from resprobe.plots import ratios

            ratios.plot_ratios(blocks, model, source, self.plot)
