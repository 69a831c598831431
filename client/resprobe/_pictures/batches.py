"""Divides picture files into requests that a server accepts."""

from collections.abc import Iterator, Sequence
from pathlib import Path

BATCH = 128  # images
BYTES = 16 << 20  # of files; a server accepts messages of 64 MiB by default


def batches(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Yields files in order, in parts of maximum BATCH files and BYTES bytes, or of one file that alone has more."""
    start, size = 0, 0
    for place, path in enumerate(paths):
        one = _size(path)
        if place > start and (place - start == BATCH or size + one > BYTES):
            yield paths[start:place]
            start, size = place, 0
        size += one
    if start < len(paths):
        yield paths[start:]


def _size(path: Path) -> int:
    """Returns the bytes in a file; 0 for one that does not exist, which reading it will report."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
