"""What the exporter raises for a user to mend; part of the tree in resprobe.errors."""

import re

from resprobe import Error

LONGEST = 300  # characters of what a library says
NOISE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |\S*/\S*\.(?:cc|cpp|h|hpp):?\d*:? ?")  # places in their sources


class ExporterError(Error):
    """A wrong option, an unusable file, or a graph that failed its check. Nothing was written."""


class ArchitectureError(ExporterError):
    """There is no net like this; the text says which there are."""


class CheckpointError(ExporterError):
    """The checkpoint does not fit the net; the text lists the keys."""


class CheckFailed(ExporterError):
    """An exported graph does not compute what PyTorch computes; the text names the block and the two numbers."""


class TrainingDiverged(ExporterError):
    """The loss is not finite any more; the text says since which step."""


def one_line(error: BaseException) -> str:
    """What a library's error says, in one line."""
    text = " ".join(NOISE.sub("", str(error)).split())
    return (text if len(text) <= LONGEST else f"{text[:LONGEST]}…") or type(error).__name__
