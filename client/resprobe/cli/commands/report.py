"""`resprobe report`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from resprobe import _files, datasets
from resprobe.cli.options import console


@dataclass(frozen=True)
class Report:
    """Write a page about the images that `resprobe blocks --out` asked a model about: what each block did with them.

    The page is one HTML file that fetches nothing. Needs no server.

    Examples:
      resprobe report stats.parquet --out report.html
      resprobe report stats.parquet --out report.html --dataset cifar10 --data ~/cifar
    """

    stats: tyro.conf.Positional[Path]
    """The Parquet file."""
    out: Path = Path("report.html")
    """The page to write."""
    dataset: datasets.Name | None = None
    """Show the most unusual images, which are of this data set."""
    data: Path | None = None
    """Directory of the data set's files."""

    def run(self) -> None:
        """Reads and writes."""
        from resprobe.analysis import arrow
        from resprobe.report import page, pages

        _files.check(self.out)
        frame = arrow.read(self.stats)
        dataset = None if self.dataset is None else datasets.load(self.dataset, self.data, "test")
        page.write(self.out, pages.report(frame, dataset))
        console.print(f"{self.out}: {frame.model.name} on {len(frame):,} images of {frame.dataset}")
