"""Many images, in a notebook: what the commands blocks, compare and drift do, as functions on frames.

from resprobe import analysis, datasets

with resprobe.Client() as client:
    frame = analysis.sweep(client, datasets.load("digits"), "resnet20")  # or analysis.read("stats.parquet")
analysis.summarise(frame.blocks.ratio).mean  # mean ratio of each block
frame.to_pandas()                            # one row for each image
resprobe.drift(frame).to_pandas()            # one row for each block
resprobe.compare(frame, other).to_arrow()    # one row for each depth
resprobe.report.report(frame)                # the page of `resprobe report` as HTML, after `import resprobe.report`
"""

from os import PathLike
from pathlib import Path

from resprobe._results.statistics import Summary, summarise
from resprobe.analysis.collect import sweep
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.sweeps.ray_options import Ray

__all__ = ["Frame", "Ray", "Summary", "read", "summarise", "sweep", "write"]


def read(path: str | PathLike[str]) -> Frame:
    """Reads a Parquet file that `write` or `resprobe blocks --out` wrote. Raises Error."""
    from resprobe.analysis import arrow

    return arrow.read(Path(path))


def write(frame: Frame, path: str | PathLike[str]) -> None:
    """Writes a frame as a Parquet file. Raises Error if it cannot be written."""
    from resprobe.analysis import arrow

    arrow.write(frame, Path(path))
