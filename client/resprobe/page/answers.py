"""What the page sends to browsers, as values that JSON can hold. Numbers that JSON lacks are "NaN" and "Infinity"."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from resprobe._results.counters import Counters
from resprobe._results.model import Block, Model
from resprobe._results.result import Result
from resprobe._results.statistics import HIGH, LOW, STATISTICS, BlockStatistics

Json: TypeAlias = Mapping[str, object]


def model_json(model: Model) -> Json:
    """Describes a version: what it takes, what it answers, and its blocks with their baselines."""
    return {
        "name": model.name,
        "version": model.version,
        "family": model.family,
        "depth": model.depth,
        "parameters": model.parameters,
        "image": [model.height, model.width, model.channels],
        "resize": None if model.preprocessing is None else model.preprocessing.resize,
        "classes": len(model.classes),
        "accuracy": model.accuracy,
        "dataset": model.dataset,
        "baseline_images": model.baseline_images,
        "provider": model.provider,
        "precision": model.precision,
        "source": None if model.quantization is None else model.quantization.source,
        "is_default": model.is_default,
        "has_blocks": model.has_blocks,
        "has_block_scale": model.has_block_scale,
        "views": model.views,
        "blocks": [_block_json(block) for block in model.blocks],
    }


def _block_json(block: Block) -> Json:
    known = block.baseline.get("ratio")
    band = None
    if known is not None and LOW in known.quantiles and HIGH in known.quantiles:
        band = {"low": number(known.quantiles[LOW]), "high": number(known.quantiles[HIGH])}
    return {
        "name": block.name,
        "stage": block.stage,
        "shape": block.shape,
        "shortcut": block.shortcut,
        "branch": block.branch,
        "baseline": None if known is None else {"mean": number(known.mean), "band": band},
    }


def result_json(result: Result, note: str | None) -> Json:
    """Describes the answer for the first image of a result.

    Args:
        result: Answer with at least one image.
        note: Sentence on what the answer lacks, and why. If None, it lacks nothing.
    """
    one = result[0]
    return {
        "model": result.model,
        "version": result.version,
        "provider": result.provider,
        "precision": result.precision,
        "queue": result.timings.queue,
        "inference": result.timings.inference,
        "resized_from": one.resized_from,
        "classes": [
            {"index": int(index), "label": label, "probability": number(float(probability))}
            for index, label, probability in zip(one.classes, one.labels, one.probabilities, strict=True)
        ],
        "blocks": None if one.blocks is None else _blocks_json(one.blocks),
        "note": note,
    }


def _blocks_json(blocks: BlockStatistics) -> Json:
    return {"names": blocks.names, **{name: numbers(getattr(blocks, name)[0]) for name in STATISTICS}}


def counters_json(counters: Iterable[Counters]) -> list[Json]:
    """Lists the counters of every version."""
    return [dataclasses.asdict(one) for one in counters]


def numbers(values: npt.NDArray[np.float32]) -> list[float | str]:
    """Lists values of one dimension."""
    return [number(value) for value in values.tolist()]


def number(value: float) -> float | str:
    """Returns a number as JSON can hold it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
