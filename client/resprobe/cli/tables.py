"""Tables for the terminal, and plain values for --json."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rich import box
from rich.table import Table

from resprobe._results.lesions import Lesions
from resprobe._results.model import Model
from resprobe._results.result import Result
from resprobe._results.statistics import HIGH, LOW, STATISTICS, BlockStatistics, summarise
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.noise import NoiseOfBlocks

WIDE = 4  # maximum classes in one row of a table


def grid(*headings: str, left: int = 1) -> Table:
    """Returns an empty table whose first `left` columns are text, and the others numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for place, heading in enumerate(headings):
        text = place < left
        table.add_column(heading, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    return table


def models_table(models: Sequence[Model]) -> Table:
    """Returns one row for each version."""
    table = grid(
        "model",
        "version",
        "family",
        "depth",
        "params",
        "image",
        "classes",
        "blocks",
        "precision",
        "accuracy",
        "provider",
    )
    for model in models:
        table.add_row(
            model.name,
            f"{model.version}{'*' if model.is_default else ''}",
            model.family or "–",
            str(model.depth or "–"),
            f"{model.parameters:,}" if model.parameters else "–",
            f"{model.height}×{model.width}×{model.channels}" if model.height else "–",
            str(len(model.classes)),
            str(len(model.blocks)) if model.has_blocks else "–",
            model.precision or "–",
            "–" if model.accuracy is None else f"{model.accuracy:.4f}",
            model.provider.removesuffix("ExecutionProvider"),
        )
    return table


def models_json(models: Sequence[Model]) -> list[dict[str, Any]]:
    """Returns plain values for --json, without the baselines of the blocks, which are long."""
    return [
        {
            "name": model.name,
            "version": model.version,
            "default": model.is_default,
            "family": model.family,
            "depth": model.depth,
            "parameters": model.parameters,
            "precision": model.precision,
            "quantised_from": None if model.quantization is None else model.quantization.source,
            "image": {
                "height": model.height,
                "width": model.width,
                "channels": model.channels,
                "preprocessing": None if model.preprocessing is None else dataclasses.asdict(model.preprocessing),
                "mean": model.mean,
                "std": model.std,
            },
            "classes": list(model.classes),
            "accuracy": model.accuracy,
            "dataset": model.dataset,
            "blocks": [block.name for block in model.blocks],
            "has_blocks": model.has_blocks,
            "has_block_scale": model.has_block_scale,
            "provider": model.provider,
            "max_batch": model.max_batch,
        }
        for model in models
    ]


def classes_table(sources: Sequence[str], result: Result, labels: Sequence[str]) -> Table:
    """Returns one row for each image, best class first; with more than WIDE classes, one row for each class."""
    rows = zip(sources, result.classes, result.probabilities, strict=True)
    if result.classes.shape[1] <= WIDE:
        table = grid("image", *(f"{place}." for place in range(1, result.classes.shape[1] + 1)))
        for source, indices, probabilities in rows:
            pairs = zip(indices, probabilities, strict=True)
            table.add_row(source, *(f"  {labels[index]} {probability:.3f}" for index, probability in pairs))
        return table
    table = grid("image", "class", "probability", left=2)
    for source, indices, probabilities in rows:
        for place, (index, probability) in enumerate(zip(indices, probabilities, strict=True)):
            table.add_row("" if place else source, labels[index], f"{probability:.3f}")
    return table


def classes_json(sources: Sequence[str], result: Result, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Returns plain values for --json, with the size of each image before it was resized: null if it was not."""
    return [
        {
            "image": source,
            "resized_from": None if size is None else {"height": size[0], "width": size[1]},
            "classes": [
                {"index": int(index), "label": labels[index], "probability": float(probability)}
                for index, probability in zip(indices, probabilities, strict=True)
            ],
        }
        for source, size, indices, probabilities in zip(
            sources, result.resized_from, result.classes, result.probabilities, strict=True
        )
    ]


def blocks_table(blocks: BlockStatistics, model: Model) -> Table:
    """Returns one row for each block: means over the images, and the spread of the ratio if there are several."""
    several = len(blocks) > 1
    spread = [f"ratio\n{LOW * 100:.0f} %", f"ratio\n{HIGH * 100:.0f} %"] if several else []
    table = grid("block", "‖F(x)‖", "‖s(x)‖", "ratio", *spread, "ratio\nbaseline", "cosine", "std\nof F(x)")
    over = {name: summarise(getattr(blocks, name)) for name in STATISTICS}
    ratio = over["ratio"]
    for place, block in enumerate(model.blocks):
        baseline = block.baseline.get("ratio")
        table.add_row(
            block.name,
            f"{over['branch_l2'].mean[place]:.2f}",
            f"{over['shortcut_l2'].mean[place]:.2f}",
            f"{ratio.mean[place]:.3f}",
            *([f"{ratio.low[place]:.3f}", f"{ratio.high[place]:.3f}"] if several else []),
            "–" if baseline is None else f"{baseline.mean:.3f}",
            f"{over['cosine'].mean[place]:+.3f}",
            f"{over['branch_std'].mean[place]:.3f}",
        )
    return table


def blocks_json(
    sources: Sequence[str], result: Result, blocks: BlockStatistics, labels: Sequence[str]
) -> dict[str, Any]:
    """Returns every statistic of every image for --json; what is not finite is null."""
    images = [
        {**entry, **{name: finite(getattr(blocks, name)[row]) for name in STATISTICS}}
        for row, entry in enumerate(classes_json(sources, result, labels))
    ]
    return {
        "model": result.model,
        "version": result.version,
        "precision": result.precision,
        "blocks": blocks.names,
        "images": images,
    }


def frame_json(frame: Frame, seconds: float) -> dict[str, Any]:
    """Returns the accuracy of a frame and the means of its statistics for --json."""
    return {
        "model": frame.model.name,
        "version": frame.model.version,
        "precision": frame.model.precision,
        "dataset": frame.dataset,
        "images": len(frame),
        "accuracy": frame.accuracy,
        "seconds": seconds,
        "notes": frame.notes,
        "blocks": summary_json(frame.blocks),
    }


def summary_json(blocks: BlockStatistics) -> list[dict[str, Any]]:
    """Returns mean and quantiles over the images, for each block and statistic."""
    summary: list[dict[str, Any]] = [{"name": name} for name in blocks.names]
    for name in STATISTICS:
        over = summarise(getattr(blocks, name))
        columns = [finite(values) for values in (over.mean, over.low, over.median, over.high)]
        for entry, count, values in zip(summary, over.count, zip(*columns, strict=True), strict=True):
            entry[name] = {**dict(zip(("mean", "q10", "q50", "q90"), values, strict=True)), "images": int(count)}
    return summary


def noise_table(noise: NoiseOfBlocks) -> Table:
    """Returns one row for each block of a quantised model: its noise, and its ratio before and after."""
    table = grid("block", "noise\nof F", "noise\nof F+s", "ratio\nfloat32", f"ratio\n{noise.model.precision}")
    for name, *numbers in noise.rows():
        table.add_row(name, *(f"{number:.4f}" for number in numbers))
    return table


def noise_json(noise: NoiseOfBlocks | None) -> dict[str, Any] | None:
    """Returns plain values for --json. If None, there is no noise."""
    if noise is None:
        return None
    keys = ("block", "branch", "sum", "ratio_before", "ratio_after")
    return {
        "model": noise.model.name,
        "version": noise.model.version,
        "images": noise.over,
        "blocks": [dict(zip(keys, row, strict=True)) for row in noise.rows()],
    }


def lesions_table(lesions: Lesions, ratios: npt.NDArray[np.float64] | None) -> Table:
    """Returns one row for each block: accuracy without it, beside its mean ratio in the intact net."""
    ratio = [] if ratios is None else ["ratio"]
    table = grid("without", "accuracy", "change", "p(right)\nchange", *ratio)
    for place, name in enumerate(lesions.blocks):
        accuracy = lesions.block_accuracy[place]
        table.add_row(
            name,
            f"{accuracy:.4f}",
            f"{accuracy - lesions.accuracy:+.4f}",
            f"{lesions.block_change[place]:+.4f}",
            *([] if ratios is None else [f"{ratios[place]:.3f}"]),
        )
    return table


def random_lesions_table(lesions: Lesions) -> Table:
    """Returns one row for each number of random blocks: mean, minimum and maximum over its draws."""
    table = grid("without", "accuracy", "lowest", "highest", "p(right)\nchange")
    for count, accuracy, change in zip(lesions.removed, lesions.random_accuracy, lesions.random_change, strict=True):
        numbers = accuracy.mean(), accuracy.min(), accuracy.max()
        table.add_row(f"{count} random", *(f"{number:.4f}" for number in numbers), f"{change.mean():+.4f}")
    return table


def lesions_json(lesions: Lesions, ratios: npt.NDArray[np.float64] | None) -> dict[str, Any]:
    """Returns plain values for --json, with every draw."""
    accuracy, change = lesions.block_accuracy.tolist(), lesions.block_change.tolist()
    ratio = [None] * len(accuracy) if ratios is None else finite(ratios)
    blocks = zip(lesions.blocks, accuracy, change, ratio, strict=True)
    draws = zip(lesions.removed.tolist(), lesions.random_accuracy.tolist(), lesions.random_change.tolist(), strict=True)
    return {
        "model": lesions.model,
        "version": lesions.version,
        "images": lesions.images,
        "accuracy": lesions.accuracy,
        "probability": lesions.probability,
        "blocks": [{"name": n, "accuracy": a, "change": c, "ratio": r} for n, a, c, r in blocks],
        "random": [{"removed": k, "accuracy": a, "change": c} for k, a, c in draws],
    }


def finite(values: npt.NDArray[Any]) -> list[float | None]:
    """Returns numbers for --json, with null where they are not finite: JSON has no infinity."""
    return [number(float(value)) for value in values]


def number(value: Any) -> Any:
    """Returns a value for --json: null if it is a number that is not finite, and else itself."""
    return None if isinstance(value, float | np.floating) and not np.isfinite(value) else value
