"""Early exits of a version as `exporter inspect` prints them: accuracy against images a second."""

from typing import Any

from google.protobuf import json_format
from resprobe_protos import resprobe_pb2 as pb
from rich import box
from rich.table import Table


def lines(model: pb.Model) -> list[str]:
    """Describes the exits of a version in a few lines."""
    exits = model.exits
    parts = [
        f"{part.block} {part.cost:.0%} of the time"
        + (f", accuracy {part.evaluation.accuracy:.4f}" if part.HasField("evaluation") else "")
        for part in exits.parts
    ]
    chosen = f"threshold {exits.threshold:g}" if exits.HasField("threshold") else "no threshold"
    return [
        f"early exits after {'; '.join(parts)}",
        f"heads fitted on {exits.fitted_images:,} training images of {exits.dataset}; on {exits.calibration_images:,} "
        f"others {chosen} loses at most {100 * exits.maximum_loss:g} points of accuracy",
    ]


def exit_table(model: pb.Model) -> Table:
    """Returns the curve as a table for a terminal: measured on test images, or else on held-out training images."""
    exits = model.exits
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    images = "test" if exits.measured else "held-out training"
    for heading in (
        "threshold",
        f"accuracy\n{images}",
        "speed",
        *(f"left after\n{part.block}" for part in exits.parts),
    ):
        grid.add_column(heading, justify="right", no_wrap=True)
    for point in exits.measured or exits.calibration:
        mark = "*" if exits.HasField("threshold") and point.threshold == exits.threshold else ""
        shares = (f"{share:.1%}" for share in point.shares)
        grid.add_row(f"{point.threshold:g}{mark}", f"{point.accuracy:.4f}", f"{point.speedup:.2f}×", *shares)
    return grid


def as_json(model: pb.Model) -> dict[str, Any]:
    """Returns the exits as JSON, under the names of resprobe.proto."""
    return json_format.MessageToDict(model.exits, preserving_proto_field_name=True)
