"""What is known of each version in the repository."""

from dataclasses import dataclass
from enum import StrEnum

from resprobe_server.models.repository import Stamp


class State(StrEnum):
    """What a version in the repository can be."""

    READY = "READY"
    LOADING = "LOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True)
class Status:
    """A version in the repository.

    Attributes:
        name: Of the model.
        version: Number.
        state: What it is.
        reason: Why it does not serve, or why its newest content does not.
        note: What an operator should know of one that serves.
    """

    name: str
    version: int
    state: State
    reason: str
    note: str = ""


@dataclass(frozen=True)
class Attempt:
    """The last content of a version directory that was loaded.

    Attributes:
        stamp: Of the content.
        failure: Why it is not served; empty if it is.
        refused: Whether that is because of the versions that are.
    """

    stamp: Stamp
    failure: str = ""
    refused: bool = False
