"""What the subcommands print when a version was written."""

import json
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from resprobe_exporter.build import Built

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
