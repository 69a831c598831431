"""A candidate against the version that serves, on the same live images."""

import math
from dataclasses import dataclass

Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class ClassChange:
    """Best classes of some images with both versions, where they differ.

    Attributes:
        current: Label with the version that serves.
        candidate: Label with the candidate.
        images: Number of images.
    """

    current: str
    candidate: str
    images: int


@dataclass(frozen=True)
class BlockChange:
    """How the ratio ‖F‖ / ‖s‖ of one block differs.

    Attributes:
        name: Name of the block.
        images: Number of images.
        current: Mean ratio with the version that serves.
        candidate: Mean ratio with the candidate.
        factor: Geometric mean over images of the candidate's ratio over the other.
        lower: Lower end of its 95 % interval.
        upper: Upper end of it.
    """

    name: str
    images: int
    current: float
    candidate: float
    factor: float
    lower: float
    upper: float


@dataclass(frozen=True)
class DefaultChange:
    """Change of a model's default version.

    Attributes:
        version: Default version now.
        previous_version: Default version before.
    """

    version: str
    previous_version: str


@dataclass(frozen=True)
class Shadow:
    """Candidate of a model, and how it compares.

    Attributes:
        model: Name of the model.
        version: Version of the candidate.
        current_version: Version that serves; empty if none does.
        share: Share of the images that the candidate runs on too.
        split: Share of the requests that it answers.
        reason: Why the two are not compared; empty if they are.
        images: Images that both ran.
        agreed: Of those, the images with the same best class.
        dropped: Images that were chosen and not run, because the device was busy.
        failed: Images that one of them failed on.
        failure: Last reason.
        seconds: Mean time of an image with the candidate.
        current_seconds: Mean time of an image with the version that serves.
        changes: Classes that changed, most frequent first.
        blocks: Blocks that both have.
    """

    model: str
    version: str
    current_version: str
    share: float
    split: float
    reason: str
    images: int
    agreed: int
    dropped: int
    failed: int
    failure: str
    seconds: float
    current_seconds: float
    changes: tuple[ClassChange, ...]
    blocks: tuple[BlockChange, ...]

    @property
    def agreement(self) -> float:
        """Share of the images with the same best class; nan without images."""
        return self.agreed / self.images if self.images else math.nan

    @property
    def agreement_interval(self) -> tuple[float, float]:
        """95 % interval of the agreement (Wilson 1927); 0 to 1 without images."""
        if not self.images:
            return 0.0, 1.0
        count, share = self.images, self.agreement
        middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
        half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
        return max(0.0, middle - half), min(1.0, middle + half)
