"""Says so where an imported net was probably read in another way than it was meant."""

from collections.abc import Sequence

from resprobe_exporter import progress
from resprobe_exporter.versions import metadata


def doubt(description: metadata.Model, classes: int, hints: Sequence[str]) -> None:
    """Calls an accuracy suspicious if it is one that a wrongly read net has.

    Args:
        description: With an evaluation.
        classes: How many the data set has.
        hints: What to check then.
    """
    accuracy = description.evaluation.accuracy
    if accuracy < suspicious_below(classes):
        progress.note(
            f"suspicious: an accuracy of {accuracy:.4f} on {description.evaluation.dataset} is near chance, "
            f"{1 / classes:.3g} for {classes} classes; check {', '.join(hints)}"
        )


def suspicious_below(classes: int) -> float:
    """Accuracy below which a trained net was probably read wrongly: chance, and a fifth of the way to 1."""
    return 1 / classes + (1 - 1 / classes) / 5
