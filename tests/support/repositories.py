"""Changes of a model repository on disk."""

import shutil
from pathlib import Path

import numpy as np
from resprobe_server.models.registry import Models

IMAGES = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8, 1)


def add(root: Path, number: int, model: str = "digits") -> Path:
    """Adds a version as the exporter does: under a hidden name first."""
    draft, target = root / model / f".draft-{number}", root / model / str(number)
    shutil.copytree(root / "digits" / "1", draft)
    return draft.rename(target)


def states(models: Models) -> dict[int, str]:
    return {one.version: str(one.state) for one in models.index()}


def no_graph(version: Path, _: Path) -> None:
    (version / "model.onnx").write_bytes(b"this is no graph")
