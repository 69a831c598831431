"""`resprobe blocks`."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from resprobe import _files
from resprobe._client import Client
from resprobe._results.model import Model
from resprobe._results.statistics import BlockStatistics
from resprobe.analysis.collect import sweep
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.sweeps.ray_options import Ray
from resprobe.cli import pictures, tables
from resprobe.cli.options import Files, Preprocessed, console, print_notes
from resprobe.cli.source import Source
from resprobe.datasets import Dataset
from resprobe.errors import InvalidRequest, StatisticsUnavailable


@dataclass(frozen=True)
class Blocks(Source, Preprocessed):
    """Show what each residual block did: the magnitude of its branch F(x) against its shortcut s(x).

    Asks about picture files, or about a labelled data set. With several images the table and the plot show means, and
    how widely the ratio spreads.

    Examples:
      resprobe blocks cat.jpg
      resprobe blocks cat.jpg --plot blocks.svg
      resprobe blocks --dataset digits
      resprobe blocks --dataset cifar10 --data ~/cifar --limit 1000 --plot blocks.png
      resprobe blocks --dataset cifar10 --data ~/cifar --out stats.parquet
      resprobe blocks --dataset cifar10 --data ~/cifar --out stats.parquet --with depth,influence
      resprobe blocks --dataset folder --data /shared/photos --out stats.parquet --engine ray --actors 16
    """

    images: Files = ()
    """Picture files to ask about; - reads one picture from standard input. Give either files or --dataset."""
    out: Path | None = None
    """Parquet file to write, with one row for each image of --dataset."""
    more: Annotated[str, tyro.conf.arg(name="with", metavar="depth,influence")] = ""
    """Columns to add to --out: depth, the block from which on the answer stays, and influence, 1 − cos(s, s + F) of
    each block. For both: depth,influence."""
    engine: Literal["process", "ray"] = "process"
    """Place where the images of --dataset are read and sent. process: this one. ray: actors on a Ray cluster; with
    --out, a command that is repeated after it ended goes on where it was."""
    ray_address: str | None = None
    """HOST:PORT of the head of the Ray cluster, or ray://HOST:PORT. Default: the environment variable RAY_ADDRESS, or a
    cluster on this machine for the time of the command."""
    actors: int = 4
    """Maximum actors with --engine ray; each needs a CPU of the cluster."""
    plot: Path | None = None
    """File to draw the ratio of every block to, .svg or .png."""

    def run(self) -> None:
        """Asks the server, draws and prints."""
        self._check()
        with self.client() as client:
            if self.dataset is None:
                self._ask_files(client)
            else:
                self._ask_dataset(client, self.load())

    def _check(self) -> None:
        if bool(self.images) == (self.dataset is not None):
            raise InvalidRequest("expected either picture files or --dataset; see resprobe blocks --help")
        if self.dataset is None and self.out is not None:
            raise InvalidRequest("--out needs --dataset; for picture files use --json")
        if self._more() and self.out is None:
            raise InvalidRequest("--with adds columns to --out: give both")
        if self.engine == "ray" and self.dataset is None:
            raise InvalidRequest("--engine ray needs --dataset")
        if self.engine != "ray" and self.ray_address is not None:
            raise InvalidRequest("--ray-address needs --engine ray")
        _files.check(self.out)
        if self.plot is not None:
            from resprobe import plots

            plots.check_path(self.plot)

    def _more(self) -> set[str]:
        """Returns the columns of --with. Raises InvalidRequest if there is no such column."""
        found = set(self.more.split(",")) if self.more else set()
        if found - {"depth", "influence"}:
            raise InvalidRequest(f"--with {self.more}: expected depth, influence, or depth,influence")
        return found

    def _ask_files(self, client: Client) -> None:
        answers = pictures.ask(
            client, self.images, self.model, self.version, 1, blocks=True, preprocess=self.preprocess
        )
        sources, result, model = answers.sources, answers.result, answers.model
        if result.blocks is None:
            raise StatisticsUnavailable(f"model {model.name} has no block statistics")
        try:
            self._draw(result.blocks, model, sources[0] if len(sources) == 1 else f"{len(sources)} images")
        finally:  # what was asked for is shown, even if it cannot be drawn
            if self.json:
                self.show(tables.blocks_json(sources, result, result.blocks, model.classes))
            else:
                console.print(tables.classes_table(sources, result, model.classes))
                console.print()
                console.print(tables.blocks_table(result.blocks, model))
                print_notes(answers.notes)
        answers.check()

    def _ask_dataset(self, client: Client, dataset: Dataset) -> None:
        model = client.model(self.model, self.version)
        begin = time.perf_counter()
        more = self._more()
        engine, parts = self._engine()
        frame = sweep(
            client, dataset, model, progress=True, resize=self.resize, readouts="depth" in more, engine=engine
        )
        seconds = time.perf_counter() - begin
        try:
            self._draw(frame.blocks, model, f"{len(dataset):,} images of {dataset.name}")
            if self.out is not None:
                from resprobe.analysis import arrow

                arrow.write(frame, self.out, influence="influence" in more)
                if parts is not None:
                    shutil.rmtree(parts)
        finally:
            if self.json:
                self.show(tables.frame_json(frame, seconds))
            else:
                self._print(frame, seconds)

    def _engine(self) -> tuple[Literal["process"] | Ray, Path | None]:
        """Returns the engine, and the directory that keeps the parts until --out is written."""
        if self.engine == "process":
            return "process", None
        named = self.out is not None and (self.out.is_file() or not self.out.exists())  # and is not a device
        parts = self.out.with_name(f"{self.out.name}.parts") if self.out is not None and named else None
        return Ray(self.ray_address, self.actors, parts), parts

    def _print(self, frame: Frame, seconds: float) -> None:
        model = frame.model
        console.print(tables.blocks_table(frame.blocks, model))
        console.print(
            f"\n{model.name} version {model.version} on {len(frame):,} images of {frame.dataset}: "
            f"accuracy {frame.accuracy:.4f}, {seconds:.1f} s, {len(frame) / seconds:,.0f} images/s",
            markup=False,
        )
        print_notes(frame.notes)

    def _draw(self, blocks: BlockStatistics, model: Model, source: str) -> None:
        if self.plot is not None:
            from resprobe import plots

            plots.save(plots.plot_ratios(blocks, model, source), self.plot)
