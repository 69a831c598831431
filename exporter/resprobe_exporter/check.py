"""Compares written graphs with PyTorch before anybody can load them: logits, and the statistics of every block.

The reference for the statistics is the net itself in float64, tapped by forward hooks: no part of the graph passes
has a say in it.
"""

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
from resprobe_exporter.runtime import Graph

TOLERANCE = 1e-4  # relative
Array = npt.NDArray[np.float64]


def check(served: Served, images: npt.NDArray[np.uint8], lean: Path, probe: Path | None) -> None:
    """Checks the graphs of one version.

    Args:
        served: The net with its normalisation, in float64 and evaluation mode.
        images: uint8 [n, height, width, channels] to compare on.
        lean: The ONNX file that returns logits.
        probe: The one that returns block statistics too; None for a net without residual blocks.

    Raises:
        CheckFailed: ONNX's own checker refused a graph, or a number differs by more than 1e-4 relative; the text
            names the block and the two numbers.
    """
    logits, statistics = reference(served, images)
    _check_onnx(lean)
    _compare_logits(Graph(lean).run(images)[LOGITS], logits, f"{lean.name} and PyTorch")
    if probe is not None:
        _check_onnx(probe)
        outputs = Graph(probe).run(images)
        _compare_logits(outputs[LOGITS], logits, f"{probe.name} and {lean.name}")
        names = [block.name for block in served.net.blocks]
        _compare_statistics(outputs[OUTPUT].astype(np.float64), statistics, names, sizes(served))


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

    hooks = [module.register_forward_hook(tap) for module in served.modules() if isinstance(module, Addition)]
    try:
        logits = served(torch.from_numpy(images))
    finally:
        for hook in hooks:
            hook.remove()
    statistics = torch.stack(found, dim=1) if found else torch.zeros(len(images), 0, len(STATISTICS))
    return logits.double().numpy(), statistics.numpy()


def _check_onnx(path: Path) -> None:
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckFailed(f"{path.name} is no valid ONNX graph: {error}") from error


def _compare_logits(found: npt.NDArray[np.float32], expected: Array, what: str) -> None:
    scale = np.abs(expected).max(axis=1, keepdims=True)
    errors = np.abs(found - expected) / np.maximum(scale, np.finfo(np.float32).tiny)
    if not (errors <= TOLERANCE).all():
        image, index = np.unravel_index(np.nanargmax(np.where(np.isfinite(errors), errors, np.inf)), errors.shape)
        raise CheckFailed(
            f"logits of {what} differ: class {index} of image {image} is {found[image, index]:.6g} "
            f"and {expected[image, index]:.6g} (relative error {errors[image, index]:.1e}, at most {TOLERANCE:.0e})"
        )


def _compare_statistics(found: Array, expected: Array, names: list[str], values: list[int]) -> None:
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
            f"{names[block]}: {STATISTICS[statistic]} of image {image} is {found[at]:.6g} in the graph "
            f"and {expected[at]:.6g} in PyTorch (relative error {errors[at]:.1e}, at most {TOLERANCE:.0e})"
        )
