"""Options that several subcommands have, and the line or JSON about a new version."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resprobe import datasets
from rich.console import Console

from resprobe_exporter.nets.info import ImageShape

if TYPE_CHECKING:
    import torch

    from resprobe_exporter.versions.test_set import LabelledImages
    from resprobe_exporter.versions.writer import NewVersion

Device = Literal["auto", "cpu", "cuda"]
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class ImportCommand:
    """Options of commands that import a net."""

    classes: str | None = None
    """Labels of the classes: a file with one label on each line, or a,b,c. Default: those of --dataset or, without
    one, numbers."""
    dataset: datasets.Name | None = None
    """Data set whose test images accuracy and baseline are measured on. Default: neither is measured."""
    data: Path | None = None
    """Directory of the data set's files. Not used for digits."""
    repository: Path = Path("models")
    """Model repository to write to."""
    json: bool = False
    """Print the result as JSON."""

    def labels(self) -> tuple[str, ...] | None:
        """Returns the names of the classes. If None, none were given."""
        from resprobe_exporter.importing.class_names import read_labels

        return None if self.classes is None else read_labels(self.classes)

    def test_set(self, shape: ImageShape) -> "LabelledImages | None":
        """Returns images of this height, width and channels to measure with. If None, none were asked for."""
        from resprobe_exporter.versions import test_set

        return None if self.dataset is None else test_set.load(self.dataset, self.data, shape)


def choose_device(name: Device) -> "torch.device":
    """Returns the device of this name; `auto` is CUDA if there is a GPU.

    Raises:
        ExporterError: There is no such device.
    """
    import torch

    from resprobe_exporter.errors import ExporterError

    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ExporterError("--device cuda: PyTorch finds no GPU here; use --device cpu")
    return torch.device(("cuda" if found else "cpu") if name == "auto" else name)


def print_version(version: "NewVersion", seconds: float, as_json: bool) -> None:
    """Prints a new version, and the seconds that the command took: a line, or JSON."""
    model = version.description
    measured = model.evaluation if model.HasField("evaluation") else None
    if as_json:
        result = {
            "name": model.name,
            "version": model.version,
            "directory": str(version.directory),
            "precision": model.precision,
            "parameters": model.parameter_count,
            "blocks": len(model.blocks),
            "accuracy": measured and measured.accuracy,
            "loss": measured and measured.loss,
            "training_seconds": round(version.training_seconds, 2),
            "seconds": round(seconds, 2),
        }
        print(json.dumps(result))
        return
    accuracy = f", accuracy {measured.accuracy:.4f} on {measured.dataset}" if measured else ""
    blocks = f"{len(model.blocks)} residual blocks" if model.blocks else "no residual blocks"
    console.print(f"{version.directory}: {blocks}{accuracy}, {seconds:.1f} s", markup=False)
