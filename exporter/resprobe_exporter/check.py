"""Compares written graphs with PyTorch before anybody can load them: logits, block statistics, and every lesion.

The reference is the net itself in float64, tapped and cut by forward hooks: no part of the graph passes has a say in
it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from resprobe_exporter.blocks import Addition
from resprobe_exporter.errors import CheckFailed
from resprobe_exporter.export import LOGITS, Served
from resprobe_exporter.graph.probe import OUTPUT, STATISTICS
from resprobe_exporter.repository import LEAN, LESION, LESION_PROBE, PROBE
from resprobe_exporter.runtime import Graph

TOLERANCE = 1e-4  # relative
ROWS = 32  # of a batch without single blocks
Array = npt.NDArray[np.float64]
Hook = Callable[[nn.Module, tuple[Tensor, Tensor], Tensor], Tensor | None]


def check(served: Served, images: npt.NDArray[np.uint8], directory: Path) -> None:
    """Checks the graphs of one version.

    Each returns the logits, and block statistics where it has them, of PyTorch; those with a block scale do so where
    all is intact, and return PyTorch's logits without each single block too.

    Args:
        served: The net with its normalisation, in float64 and evaluation mode.
        images: uint8 [n, height, width, channels] to compare on; the first is the one that blocks are removed for.
        directory: Of the ONNX files: the lean graph, and for a residual net the others.

    Raises:
        CheckFailed: ONNX's own checker refused a graph, or a number differs by more than 1e-4 relative; the text
            names the block and the two numbers.
    """
    logits, statistics = reference(served, images)
    names = [block.name for block in served.net.blocks]
    intact = np.ones((len(images), len(names)), np.float32)
    rows = [f"image {index}" for index in range(len(images))]
    without = reference_lesions(served, images[:1])
    for file in (LEAN, PROBE, LESION, LESION_PROBE) if names else (LEAN,):
        _check_onnx(directory / file)
        graph, scaled = Graph(directory / file), file in (LESION, LESION_PROBE)
        outputs = graph.run(images, intact if scaled else None)
        _compare_logits(outputs[LOGITS], logits, file, rows)
        if file in (PROBE, LESION_PROBE):
            _compare_statistics(outputs[OUTPUT].astype(np.float64), statistics, names, sizes(served), file)
        if scaled:
            removed = _lesions(graph, images[:1], len(names))
            _compare_logits(removed, without, file, [f"image 0 without {name}" for name in names])


def sizes(served: Served) -> list[int]:
    """Values in each block's branch: channels × height × width."""
    return [block.channels * block.height * block.width for block in served.net.blocks]


@torch.no_grad()
def reference(served: Served, images: npt.NDArray[np.uint8]) -> tuple[Array, Array]:
    """Logits [n, classes] and block statistics [n, L, 4] from the net itself, tapped by forward hooks."""
    found: list[Tensor] = []

    def tap(_module: nn.Module, operands: tuple[Tensor, Tensor], _output: Tensor) -> None:
        branch, shortcut = (operand.double().flatten(1) for operand in operands)
        lengths = branch.norm(dim=1), shortcut.norm(dim=1)
        found.append(torch.stack([*lengths, (branch * shortcut).sum(1), branch.mean(1)], dim=1))

    with _hooked(served, tap):
        logits = served(torch.from_numpy(images))
    statistics = torch.stack(found, dim=1) if found else torch.zeros(len(images), 0, len(STATISTICS))
    return logits.double().numpy(), statistics.numpy()


@torch.no_grad()
def reference_lesions(served: Served, image: npt.NDArray[np.uint8]) -> Array:
    """Logits without each single block, [L, classes], from the net itself.

    Args:
        served: The net.
        image: uint8 [1, height, width, channels].

    One pass does it: up to a block, the net without it is the intact net. So the batch starts with the image alone,
    and at each addition a row joins it that is the intact row's shortcut without the branch.
    """

    def remove(_module: nn.Module, operands: tuple[Tensor, Tensor], total: Tensor) -> Tensor:
        return torch.cat([total, operands[1][:1]])

    with _hooked(served, remove):
        logits = served(torch.from_numpy(image))
    without: Array = logits[1:].double().numpy()
    return without


@contextmanager
def _hooked(served: Served, hook: Hook) -> Iterator[None]:
    """Runs a hook after every residual addition."""
    hooks = [module.register_forward_hook(hook) for module in served.modules() if isinstance(module, Addition)]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


def _lesions(graph: Graph, image: npt.NDArray[np.uint8], blocks: int) -> npt.NDArray[np.float32]:
    """The same from a graph with a block scale, a few rows at a time."""
    scales = 1 - np.eye(blocks, dtype=np.float32)
    parts = [scales[start : start + ROWS] for start in range(0, len(scales), ROWS)]
    return np.concatenate([graph.run(np.repeat(image, len(part), axis=0), part)[LOGITS] for part in parts])


def _check_onnx(path: Path) -> None:
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckFailed(f"{path.name} is no valid ONNX graph: {error}") from error


def _compare_logits(found: npt.NDArray[np.float32], expected: Array, file: str, rows: Sequence[str]) -> None:
    scale = np.abs(expected).max(axis=1, keepdims=True)
    errors = np.abs(found - expected) / np.maximum(scale, np.finfo(np.float32).tiny)
    if not (errors <= TOLERANCE).all():
        row, index = np.unravel_index(np.nanargmax(np.where(np.isfinite(errors), errors, np.inf)), errors.shape)
        raise CheckFailed(
            f"logits of {file} and PyTorch differ: class {index} of {rows[int(row)]} is {found[row, index]:.6g} "
            f"and {expected[row, index]:.6g} (relative error {errors[row, index]:.1e}, at most {TOLERANCE:.0e})"
        )


def _compare_statistics(found: Array, expected: Array, names: list[str], values: list[int], file: str) -> None:
    """Lengths relative to themselves, the dot product to both lengths, the mean to the branch's root mean square."""
    branch, shortcut = expected[..., 0], expected[..., 1]
    scales = np.stack([branch, shortcut, branch * shortcut, branch / np.sqrt(values)], axis=-1)
    difference = np.abs(found - expected)
    errors = np.divide(difference, scales, out=np.where(difference == 0, 0.0, np.inf), where=scales > 0)
    if not (errors <= TOLERANCE).all():
        worst = np.argmax(np.nan_to_num(errors, nan=np.inf, posinf=np.inf))
        image, block, statistic = np.unravel_index(worst, errors.shape)
        at = image, block, statistic
        raise CheckFailed(
            f"{names[block]}: {STATISTICS[statistic]} of image {image} is {found[at]:.6g} in {file} "
            f"and {expected[at]:.6g} in PyTorch (relative error {errors[at]:.1e}, at most {TOLERANCE:.0e})"
        )
