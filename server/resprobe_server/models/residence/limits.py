"""Limits on the models in memory, and which models leave when another one needs room."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits on all models in memory together.

    Attributes:
        models: Maximum number of models; 0 means no limit.
        memory: Maximum bytes; 0 means no limit.
    """

    models: int = 0
    memory: int = 0

    def admit(self, count: int, size: int) -> bool:
        """Returns whether so many models of so many bytes together may be in memory."""
        return (not self.models or count <= self.models) and (not self.memory or size <= self.memory)


@dataclass(frozen=True)
class Resident:
    """Model in memory.

    Attributes:
        name: Name of the model.
        size: Bytes.
        used: Time of its last use.
        busy: Whether requests for it wait or run.
        kept: Whether it must stay, because it has a candidate.
    """

    name: str
    size: int
    used: float
    busy: bool = False
    kept: bool = False


def leaving(residents: Collection[Resident], size: int, limits: Limits) -> list[str] | None:
    """Returns the names of the models that leave so that one more fits. If None, there is no room even without them.

    The least recently used one leaves first; one with requests leaves only if those without do not suffice.

    Args:
        residents: Models in memory.
        size: Bytes of the model that is to join them.
        limits: Limits on all together.
    """
    count, total = len(residents) + 1, sum(one.size for one in residents) + size
    found: list[str] = []
    for one in sorted((one for one in residents if not one.kept), key=lambda one: (one.busy, one.used)):
        if limits.admit(count, total):
            break
        found.append(one.name)
        count, total = count - 1, total - one.size
    return found if limits.admit(count, total) else None
