"""Logs of training for programs: JSON lines, and TensorBoard.

Both get a point at the end of each epoch and at each step whose layers are recorded.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.training.progress import Progress

Report = Callable[[Progress], None]


@contextmanager
def json_lines(path: Path, run: Mapping[str, Any]) -> Iterator[Report]:
    """Appends JSON lines to a file: one {"event": "start", …} that describes the run, then {"event": "progress", …}.

    A resumed run adds another start event; the steps after its checkpoint are then in the file twice, and the later
    ones count.

    Args:
        path: Path of the file.
        run: Description of the run, for the start event.

    Raises:
        ExporterError: The file cannot be written.
    """
    try:
        file = path.open("ab", buffering=0)  # a program may be following the file
    except OSError as error:
        raise ExporterError(f"{path} cannot be written: {error.strerror}") from error
    with file:

        def write(event: str, values: Mapping[str, Any]) -> None:
            _append(file, (json.dumps({"event": event, **values}) + "\n").encode())

        write("start", run)
        yield lambda progress: write("progress", asdict(progress)) if _counts(progress) else None


def _append(file: FileIO, line: bytes) -> None:
    """Appends a whole line, or nothing."""
    written = 0
    try:
        while written < len(line):
            written += file.write(line[written:])
    except OSError as error:
        if written and file.seekable():
            file.truncate(file.tell() - written)
        raise ExporterError(f"{file.name} cannot be written: {error.strerror}") from error


@contextmanager
def tensorboard(directory: Path) -> Iterator[Report]:
    """Writes event files for TensorBoard, by step; gradient norms, responses and ratios by layer.

    Args:
        directory: Directory of the event files; created if it does not exist.

    Raises:
        ExporterError: The directory cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter

    try:
        events = SummaryWriter(directory)
    except OSError as error:
        raise ExporterError(f"{directory} cannot be written: {error.strerror}") from error
    with events as writer:

        def write(progress: Progress) -> None:
            if _counts(progress):
                for name, value in scalars(progress):
                    writer.add_scalar(name, value, progress.step)

        yield write


def scalars(progress: Progress) -> Iterator[tuple[str, float]]:
    """Yields every measured number under TensorBoard's name: loss, validation/accuracy, ratios/stage1.block0."""
    for name in ("loss", "accuracy", "rate", "learning_rate"):
        yield name, getattr(progress, name)
    for group, found in (("validation", progress.validation), ("", progress.layers)):
        for name, value in asdict(found).items() if found else ():
            if isinstance(value, Mapping):
                yield from ((f"{name}/{layer}", one) for layer, one in value.items())
            else:
                yield f"{group}/{name}", value


def _counts(progress: Progress) -> bool:
    return progress.last or progress.layers is not None
