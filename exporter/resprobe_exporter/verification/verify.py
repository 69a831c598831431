"""Compares written graphs with a reference: outputs, block statistics, every lesion."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from resprobe_protos.contract import BLOCKS, INSPECT, LEAN, LESION, LESION_PROBE, PROBE, STATISTICS

from resprobe_exporter.errors import CheckFailed
from resprobe_exporter.verification.norms import compare_norms
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.verification.reference import Array, Reference

LESION_BATCH = 32  # rows at a time, each without one block
FACTORS = 2  # rows of random factors that both graphs with a block scale are compared on


def check(reference: Reference, directory: Path) -> None:
    """Checks the graphs of one version.

    Each must return the outputs of the reference, and its block statistics where the graph has them. Graphs with a
    block scale must do so with all blocks intact. The lesion graph must return the outputs without each single block,
    and the other graphs with a block scale what the lesion graph returns for random factors on all blocks.

    Args:
        reference: The numbers that are expected.
        directory: Directory of the ONNX files: the lean graph, and for a residual net its variants.

    Raises:
        CheckFailed: ONNX's own checker refused a graph, or a number differs by more than the tolerance; the text
            names the block and the two numbers.
    """
    blocks, inputs = reference.blocks, reference.inputs
    intact = np.ones((len(inputs), len(blocks)), np.float32)
    rows = [f"image {index}" for index in range(len(inputs))]
    first, factored = next(iter(reference.outputs)), []
    for file in (LEAN, PROBE, LESION, LESION_PROBE, INSPECT) if blocks else (LEAN,):
        _check_onnx(directory / file)
        graph, scaled = Graph(directory / file), file in (LESION, LESION_PROBE, INSPECT)
        outputs = graph.run(inputs, intact if scaled else None)
        for name, expected in reference.outputs.items():
            _compare(outputs[name], expected, f"{name} of {file}", rows, reference)
        if file in (PROBE, LESION_PROBE, INSPECT):
            _compare_statistics(outputs[BLOCKS].astype(np.float64), reference, file)
        if file == INSPECT:
            compare_norms(outputs, reference, file)
        if scaled:
            factored.append(graph.run(inputs[:FACTORS], _factors(len(blocks)))[first])
        if file == LESION:
            without = [f"image 0 without {name}" for name in blocks]
            found = _lesions(graph, inputs[:1], first, len(blocks))
            _compare(found, reference.without, f"{first} of {file}", without, reference)
    if factored:
        rows = [f"image {index} with random factors" for index in range(FACTORS)]
        expected, against = factored[0].astype(np.float64), replace(reference, source=LESION)
        for file, found in zip((LESION_PROBE, INSPECT), factored[1:], strict=True):
            _compare(found, expected, f"{first} of {file}", rows, against)


def _factors(blocks: int) -> npt.NDArray[np.float32]:
    """Returns random factors on blocks, [FACTORS, blocks]: all different, and below 1, as a long net may overflow."""
    return np.random.default_rng(0).uniform(0, 0.75, (FACTORS, blocks)).astype(np.float32)


def _lesions(graph: Graph, image: npt.NDArray[np.generic], output: str, blocks: int) -> npt.NDArray[np.float32]:
    """Computes an output for one image without each single block, a few rows at a time."""
    scales = 1 - np.eye(blocks, dtype=np.float32)
    parts = [scales[start : start + LESION_BATCH] for start in range(0, len(scales), LESION_BATCH)]
    return np.concatenate([graph.run(np.repeat(image, len(part), axis=0), part)[output] for part in parts])


def _check_onnx(path: Path) -> None:
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckFailed(f"{path.name} is not a valid ONNX graph: {error}") from error


def _compare(
    outputs: npt.NDArray[np.float32], expected: Array, what: str, rows: Sequence[str], reference: Reference
) -> None:
    """Compares each row; errors are relative to its largest number."""
    if outputs.shape != expected.shape:
        raise CheckFailed(f"{what} are {list(outputs.shape)}, and {list(expected.shape)} in {reference.source}")
    found, expected = outputs.reshape(len(rows), -1), expected.reshape(len(rows), -1)
    scale = np.abs(expected).max(axis=1, keepdims=True)
    errors = np.abs(found - expected) / np.maximum(scale, np.finfo(np.float32).tiny)
    if not (errors <= reference.tolerance).all():
        row, index = _largest(errors)
        raise CheckFailed(
            f"{what} and {reference.source} differ: number {index} of {rows[row]} is {found[row, index]:.6g} "
            f"and {expected[row, index]:.6g} (relative error {errors[row, index]:.1e}, "
            f"maximum {reference.tolerance:.0e})"
        )


def _compare_statistics(found: Array, reference: Reference, file: str) -> None:
    """Compares block statistics.

    Errors of lengths are relative to the lengths, those of dot products to both lengths, and those of means to the
    root mean square of the branch.
    """
    expected = reference.statistics
    tolerance = reference.probe_tolerance if file == PROBE else reference.tolerance
    branch, shortcut = expected[..., 0], expected[..., 1]
    scales = np.stack([branch, shortcut, branch * shortcut, branch / np.sqrt(reference.sizes)], axis=-1)
    difference = np.abs(found - expected)
    errors = np.divide(difference, scales, out=np.where(difference == 0, 0.0, np.inf), where=scales > 0)
    if not (errors <= tolerance).all():
        at = image, block, statistic = _largest(errors)
        raise CheckFailed(
            f"{reference.blocks[block]}: {STATISTICS[statistic]} of image {image} is {found[at]:.6g} in {file} "
            f"and {expected[at]:.6g} in {reference.source} (relative error {errors[at]:.1e}, "
            f"maximum {tolerance:.0e})"
        )


def _largest(errors: Array) -> tuple[int, ...]:
    """Returns the place of the largest error; numbers that are not finite count as infinite errors."""
    worst = np.argmax(np.where(np.isfinite(errors), errors, np.inf))
    return tuple(int(place) for place in np.unravel_index(worst, errors.shape))
