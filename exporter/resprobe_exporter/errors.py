"""Errors of the exporter that a user can mend; part of the tree in resprobe.errors."""

import re

from resprobe import Error

LONGEST = 300  # characters of a library's message
NOISE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |\S*/\S*\.(?:cc|cpp|h|hpp):?\d*:? ?")  # places in their sources


class ExporterError(Error):
    """A wrong option, an unusable file, or a graph that failed its check. Nothing was written."""


class ArchitectureError(ExporterError):
    """An architecture that does not exist; the text says which do."""


class CheckpointError(ExporterError):
    """A checkpoint that does not fit the net or cannot be read; the text lists the keys."""


class CheckFailed(ExporterError):
    """An exported graph that does not compute what its source computes; the text names the block and both numbers."""


class TrainingDiverged(ExporterError):
    """A loss that is not finite any more; the text says since which step."""


def one_line(error: BaseException) -> str:
    """Returns the message of a library's error in one line."""
    text = " ".join(NOISE.sub("", str(error)).split())
    return (text if len(text) <= LONGEST else f"{text[:LONGEST]}…") or type(error).__name__
