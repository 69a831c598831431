"""Blocks of a version as `exporter inspect` prints them: descriptions and, with images, measured values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resprobe._results.model import shape_of_sum
from resprobe_protos import resprobe_pb2 as pb
from rich import box
from rich.table import Table

from resprobe_exporter.commands import quantisation
from resprobe_exporter.exits import table
from resprobe_exporter.versions import metadata
from resprobe_exporter.versions.evaluation import Measurement

NOISE_OVER = ("test", "calibration")  # images whose noise is shown, if there are any


@dataclass(frozen=True)
class BlockRow:
    """One block.

    Attributes:
        name: Name of the block: stage2.block0.
        stage: Number of the stage, from 1.
        shortcut: Kind of the shortcut: identity, pad or projection.
        branch: Kind of the branch: conv, attention or mlp.
        axes: Axes of the sum after the batch axis, in their order. If empty, they are not known.
        channels: Channels of the sum.
        height: Height of the sum; of other tensors than images, the number of positions.
        width: Width of the sum; of other tensors than images, 1.
        stride: Stride of the block.
        response_std: Closed form of the branch's standard deviation. If None, no batch norm ends the branch.
        baseline_ratio: Mean ratio of the baseline. If None, the version has no baseline.
        measured_std: Standard deviation of the branch on images. If None, nothing was measured.
        measured_ratio: Mean ratio on images. If None, nothing was measured.
        noise: Noise of quantisation by the name of its images, calibration and test; see BlockNoise in resprobe.proto.
    """

    name: str
    stage: int
    shortcut: str
    branch: str
    axes: tuple[str, ...]
    channels: int
    height: int
    width: int
    stride: int
    response_std: float | None
    baseline_ratio: float | None
    measured_std: float | None
    measured_ratio: float | None
    noise: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def deviation(self) -> float | None:
        """Relative deviation of the measured standard deviation from the closed form. If None, one is not known."""
        if self.measured_std is None or not self.response_std:
            return None
        return self.measured_std / self.response_std - 1


def rows(model: metadata.Model, measured: Measurement | None) -> list[BlockRow]:
    """Returns the blocks from input to output."""
    ratios = None if measured is None or measured.blocks is None else measured.blocks.ratio.mean(axis=0)
    return [
        BlockRow(
            name=block.name,
            stage=block.stage,
            shortcut=_word(pb.ShortcutKind.Name(block.shortcut), "SHORTCUT_KIND_"),
            branch=_word(pb.BranchKind.Name(block.branch), "BRANCH_KIND_") if block.branch else "conv",
            axes=tuple(_word(pb.AxisKind.Name(axis), "AXIS_KIND_") for axis in block.axes),
            channels=block.channels,
            height=block.height,
            width=block.width,
            stride=block.stride,
            response_std=block.response_std if block.HasField("response_std") else None,
            baseline_ratio=block.baseline["ratio"].mean if "ratio" in block.baseline else None,
            measured_std=None if measured is None else float(measured.pooled_std[index]),
            measured_ratio=None if ratios is None else float(ratios[index]),
            noise={name: _noise(noise) for name, noise in sorted(block.noise.items())},
        )
        for index, block in enumerate(model.blocks)
    ]


def summary(model: metadata.Model, measured: Measurement | None, multiply_adds: int | None) -> str:
    """Describes a version in a few lines. If `multiply_adds` is None, they are not known."""
    image = model.image
    images = f"images {image.height}×{image.width}×{image.channels}, {len(model.classes)} classes"
    lines = [
        f"{model.name} version {model.version}: {model.family}, depth {model.depth}, "
        f"{model.parameter_count:,} parameters, {_giga(multiply_adds)}{len(model.blocks)} residual blocks",
        f"{images if model.HasField('image') else 'tensors instead of images'}, weights from {model.provenance.source}",
    ]
    if model.image.HasField("preprocessing"):
        cut = metadata.preprocessing(model).resize_and_crop(image.height, image.width)
        lines += [] if cut is None else [f"pictures: {cut.describe(image.height, image.width)}"]
    if model.HasField("evaluation"):
        known = model.evaluation
        lines.append(f"accuracy {known.accuracy:.4f} on {known.image_count:,} test images of {known.dataset}")
    if model.HasField("quantization"):
        lines += quantisation.lines(model)
    if measured is not None:
        lines.append(f"measured now: accuracy {measured.accuracy:.4f} on {measured.image_count:,} images")
    return "\n".join(lines)


def block_table(blocks: list[BlockRow], measured: Measurement | None) -> Table:
    """Returns the blocks as a table for a terminal."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for heading in ("block", "shortcut"):
        grid.add_column(heading, no_wrap=True)
    headings = ["size", "std\nclosed", "ratio\nbaseline"]
    if measured is not None:
        headings += ["std\nmeasured", "/closed", "ratio\nmeasured"]
    shown = next((name for name in NOISE_OVER if blocks and name in blocks[0].noise), None)
    if shown is not None:
        headings += ["noise\nof F", "noise\nof F+s", "ratio\nfloat32"]
    for heading in headings:
        grid.add_column(heading, justify="right", no_wrap=True)
    for block in blocks:
        cells = [block.name, block.shortcut, shape_of_sum(block)]
        cells += [_number(block.response_std), _number(block.baseline_ratio)]
        if measured is not None:
            deviation = "–" if block.deviation is None else f"{block.deviation:+.1%}"
            cells += [_number(block.measured_std), deviation, _number(block.measured_ratio)]
        if shown is not None:
            cells += [_number(block.noise[shown][name]) for name in ("branch", "sum", "ratio_before")]
        grid.add_row(*cells)
    return grid


def as_json(
    model: metadata.Model, blocks: list[BlockRow], measured: Measurement | None, multiply_adds: int | None
) -> dict[str, Any]:
    """Returns the blocks as JSON."""
    result: dict[str, Any] = {
        "name": model.name,
        "version": model.version,
        "family": model.family,
        "depth": model.depth,
        "parameters": model.parameter_count,
        "multiply_adds": multiply_adds,
        "precision": model.precision,
        "blocks": [{**vars(block), "deviation": block.deviation} for block in blocks],
    }
    if model.HasField("quantization"):
        result["quantization"] = quantisation.as_json(model)
    if model.HasField("exits"):
        result["exits"] = table.as_json(model)
    if measured is not None:
        result["measured"] = {
            "images": measured.image_count,
            "loss": measured.loss,
            "accuracy": measured.accuracy,
        }
    return result


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _noise(noise: pb.BlockNoise) -> Mapping[str, float]:
    return {
        "branch": noise.branch,
        "sum": noise.sum,
        "ratio_before": noise.ratio_before,
        "ratio_after": noise.ratio_after,
    }


def _giga(multiply_adds: int | None) -> str:
    """Returns multiply-adds for one image in billions, as Table 1 of He et al. 2015 gives them, or in millions."""
    if multiply_adds is None:
        return ""
    power, digits = (1e9, "⁹") if multiply_adds >= 1e8 else (1e6, "⁶")
    return f"{multiply_adds / power:.3g} ×10{digits} multiply-adds, "


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
