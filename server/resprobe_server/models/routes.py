"""Routes: which version of a model answers requests that name none."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

SPAN = 1 << 64


@dataclass(frozen=True)
class Route:
    """Route of the requests for a model that name no version.

    Attributes:
        pinned: Number of the version that answers them. If None, or if it is not loaded, the highest one does that is
            not the candidate.
        candidate: Number of a version that is being tried and is not the default. If None, there is none.
        split: Share of the requests with an id that the candidate answers, in [0, 1].
    """

    pinned: int | None = None
    candidate: int | None = None
    split: float = 0.0

    def default(self, loaded: Collection[int]) -> int:
        """Returns the number of the default version, of those that are loaded, which is at least one."""
        if self.pinned in loaded and self.pinned is not None:
            return self.pinned
        return max([number for number in loaded if number != self.candidate] or loaded)

    def choose(self, loaded: Collection[int], model: str, identifier: str) -> int:
        """Returns the number of the version that answers a request with this id, which may be empty."""
        if self.split and identifier and self.candidate in loaded and self.candidate is not None:
            digest = hashlib.blake2b(f"{model}/{identifier}".encode(), digest_size=8).digest()
            if int.from_bytes(digest) < self.split * SPAN:
                return self.candidate
        return self.default(loaded)


HIGHEST = Route()
