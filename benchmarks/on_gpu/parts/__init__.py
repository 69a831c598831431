"""The parts. Each module has `run(settings, results)`, which measures and adds tables; order and limits are here."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part: what it measures, its time limit in seconds, and whether it reads the models that `models` writes."""

    what: str
    limit: float
    reads_models: bool = True


PARTS: Mapping[str, Part] = {
    "machine": Part("What it ran on", 60, False),
    "models": Part("Models that were written", 150, False),
    "numerics": Part("Numbers on the device against the CPU", 130),
    "speed": Part("ONNX Runtime and PyTorch", 130),
    "served": Part("The server against ONNX Runtime", 190),
    "cost": Part("What statistics and lesions cost", 110),
    "training": Part("Training", 90, False),
    "memory": Part("Memory under load", 130),
    "compiled": Part("torch.compile", 90),
    "accuracy": Part("Time to an accuracy", 240, False),
}
"""Parts in the order in which they run: those that take longest for the least are last."""
