"""States of the versions in the repository, and counts of their loads."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

from resprobe_server.models.repository import Stamp


class State(StrEnum):
    """State of a version."""

    READY = "READY"
    LOADING = "LOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True)
class Status:
    """Status of a version in the repository.

    Attributes:
        name: Name of the model.
        version: Number of the version.
        state: State of the version.
        reason: Why it does not serve, or why its newest content does not; empty if it does.
        note: What an operator should know of a version that serves.
    """

    name: str
    version: int
    state: State
    reason: str
    note: str = ""


@dataclass(frozen=True)
class Attempt:
    """Last attempt to load a version.

    Attributes:
        stamp: Stamp of the content that was loaded.
        failure: Why the version is not served; empty if it is.
        refused: Whether it is incompatible with the versions that are served.
    """

    stamp: Stamp
    failure: str = ""
    refused: bool = False


@dataclass(frozen=True)
class LoadCounts:
    """Counts of loads since the start, by the name of the model.

    Attributes:
        loaded: Versions that were loaded.
        failed: Versions that failed to load.
        incompatible: Versions that were refused because they are incompatible with those that are served.
        evicted: Models that were unloaded to make room for another.
        seconds: Total time to load versions, of those that were loaded.
    """

    loaded: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    incompatible: Counter[str] = field(default_factory=Counter)
    evicted: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
