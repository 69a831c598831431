"""How many picture files go into one request: no more than a server takes at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

BATCH = 128  # images
BYTES = 16 << 20  # of files; a server takes messages of 64 MiB if nothing else was configured


def batches(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Yields files in order, in parts of at most BATCH files and of BYTES, or of one file that alone has more."""
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
    """Returns the bytes in a file; 0 for one that is not there, which is said by whoever reads it."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
