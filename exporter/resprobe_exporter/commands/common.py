"""What subcommands have in common: options, and what they print when a version was written."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

if TYPE_CHECKING:
    from resprobe_exporter.versions.build import Built
    from resprobe_exporter.versions.writer import LabelledImages


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Options of commands that import a net."""

    classes: str | None = None
    """Labels: a file with one on each line, or a,b,c. Default: those of --dataset, else 0, 1, 2 …"""
    dataset: Literal["digits", "cifar10", "cifar100", "folder"] | None = None
    """Measure accuracy and baseline on this data set's test images."""
    data: Path | None = None
    """Directory of the data set's files."""
    repository: Path = Path("models")
    """Model repository to write to."""
    json: bool = False
    """Print the result as JSON."""

    def labels(self) -> tuple[str, ...] | None:
        """Returns the names of the classes. If None, none were given."""
        from resprobe_exporter.importing.class_names import read_labels

        return None if self.classes is None else read_labels(self.classes)

    def test_set(self, shape: tuple[int, int, int]) -> "LabelledImages | None":
        """Images of this height, width and channels to measure with. If None, none are given."""
        from resprobe_exporter.versions import build

        return None if self.dataset is None else build.load_test_set(self.dataset, self.data, shape)


console = Console(highlight=False, soft_wrap=True)


def print_built(built: "Built", as_json: bool) -> None:
    """Prints a new version: a line, or JSON."""
    model = built.description
    measured = model.evaluation if model.HasField("evaluation") else None
    if as_json:
        result = {
            "name": model.name,
            "version": model.version,
            "directory": str(built.directory),
            "parameters": model.parameter_count,
            "blocks": len(model.blocks),
            "accuracy": measured and measured.accuracy,
            "loss": measured and measured.loss,
            "training_seconds": round(built.training_seconds, 2),
            "seconds": round(built.seconds, 2),
        }
        print(json.dumps(result))
        return
    accuracy = f", accuracy {measured.accuracy:.4f} on {measured.dataset}" if measured else ""
    blocks = f"{len(model.blocks)} residual blocks" if model.blocks else "no residual blocks"
    console.print(f"{built.directory}: {blocks}{accuracy}, {built.seconds:.1f} s", markup=False)
