"""`resprobe report`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from resprobe import _files, datasets
from resprobe.cli.options import console
from resprobe.datasets import Name


@dataclass(frozen=True)
class Report:
    """Write an HTML page about the images in a Parquet file that `resprobe blocks --out` wrote.

    The page shows what each block did with the images. It is one file that fetches nothing. Needs no server.

    Examples:
      resprobe report stats.parquet --out report.html
      resprobe report stats.parquet --out report.html --dataset cifar10 --data ~/cifar
    """

    stats: tyro.conf.Positional[Path]
    """Parquet file that resprobe blocks --out wrote."""
    out: Path = Path("report.html")
    """HTML file to write."""
    dataset: Name | None = None
    """Data set of the images; with it, the page shows the most unusual images."""
    data: Path | None = None
    """Directory with the files of --dataset. Not needed for digits."""

    def run(self) -> None:
        """Reads the file and writes the page."""
        from resprobe.analysis import arrow
        from resprobe.report import page, pages

        _files.check(self.out)
        frame = arrow.read(self.stats)
        dataset = None if self.dataset is None else datasets.load(self.dataset, self.data, "test")
        page.write(self.out, pages.report(frame, dataset))
        console.print(f"{self.out}: {frame.model.name} on {len(frame):,} images of {frame.dataset}")
