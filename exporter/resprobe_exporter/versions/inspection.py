"""`exporter inspect`: a version's blocks as a table, and, given images, what they measure beside the closed form."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import LEAN, PROBE
from rich import box
from rich.table import Table

from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import metadata
from resprobe_exporter.versions.evaluation import Measurement, measure
from resprobe_exporter.versions.writer import LabelledImages


@dataclass(frozen=True)
class BlockRow:
    """One block. `measured_std` and `measured_ratio` are None without images, the others where they do not exist."""

    name: str
    stage: int
    shortcut: str
    channels: int
    height: int
    width: int
    stride: int
    response_std: float | None
    baseline_ratio: float | None
    measured_std: float | None
    measured_ratio: float | None

    @property
    def deviation(self) -> float | None:
        """Measured over closed form, minus 1."""
        if self.measured_std is None or not self.response_std:
            return None
        return self.measured_std / self.response_std - 1


def measure_version(directory: Path, model: metadata.Model, test_set: LabelledImages) -> Measurement:
    """Runs a version over labelled images."""
    graph = Graph(directory / (PROBE if model.blocks else LEAN))
    names = [block.name for block in model.blocks]
    classes = (test_set.classes, model.classes)
    return measure(graph, test_set.images, test_set.labels, names, metadata.sizes(model), classes)


def rows(model: metadata.Model, measured: Measurement | None) -> list[BlockRow]:
    """The blocks from input to output."""
    ratios = None if measured is None or measured.blocks is None else measured.blocks.ratio.mean(axis=0)
    return [
        BlockRow(
            name=block.name,
            stage=block.stage,
            shortcut=pb.ShortcutKind.Name(block.shortcut).removeprefix("SHORTCUT_KIND_").lower(),
            channels=block.channels,
            height=block.height,
            width=block.width,
            stride=block.stride,
            response_std=block.response_std if block.HasField("response_std") else None,
            baseline_ratio=block.baseline["ratio"].mean if "ratio" in block.baseline else None,
            measured_std=None if measured is None else float(measured.pooled_std[index]),
            measured_ratio=None if ratios is None else float(ratios[index]),
        )
        for index, block in enumerate(model.blocks)
    ]


def summary(model: metadata.Model, measured: Measurement | None) -> str:
    """What the version is, in a few lines."""
    image = model.image
    taken = f"images {image.height}×{image.width}×{image.channels}, {len(model.classes)} classes"
    lines = [
        f"{model.name} version {model.version}: {model.family}, depth {model.depth}, "
        f"{model.parameter_count:,} parameters, {len(model.blocks)} residual blocks",
        f"{taken if model.HasField('image') else 'no images as bytes'}, weights from {model.provenance.source}",
    ]
    if model.HasField("evaluation"):
        known = model.evaluation
        lines.append(f"accuracy {known.accuracy:.4f} on {known.image_count:,} test images of {known.dataset}")
    if measured is not None:
        lines.append(f"measured now: accuracy {measured.score.accuracy:.4f} on {measured.image_count:,} images")
    return "\n".join(lines)


def table(blocks: list[BlockRow], measured: Measurement | None) -> Table:
    """For a terminal."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for heading in ("block", "shortcut"):
        grid.add_column(heading, no_wrap=True)
    headings = ["size", "std\nclosed", "ratio\nbaseline"]
    if measured is not None:
        headings += ["std\nmeasured", "/closed", "ratio\nmeasured"]
    for heading in headings:
        grid.add_column(heading, justify="right", no_wrap=True)
    for block in blocks:
        cells = [block.name, block.shortcut, f"{block.channels}×{block.height}×{block.width}"]
        cells += [_number(block.response_std), _number(block.baseline_ratio)]
        if measured is not None:
            deviation = "–" if block.deviation is None else f"{block.deviation:+.1%}"
            cells += [_number(block.measured_std), deviation, _number(block.measured_ratio)]
        grid.add_row(*cells)
    return grid


def as_json(model: metadata.Model, blocks: list[BlockRow], measured: Measurement | None) -> dict[str, Any]:
    """For programs."""
    result: dict[str, Any] = {
        "name": model.name,
        "version": model.version,
        "family": model.family,
        "depth": model.depth,
        "parameters": model.parameter_count,
        "blocks": [{**vars(block), "deviation": block.deviation} for block in blocks],
    }
    if measured is not None:
        result["measured"] = {"images": measured.image_count, **vars(measured.score)}
    return result


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
