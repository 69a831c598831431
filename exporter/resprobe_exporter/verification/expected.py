"""What the graphs of a version are compared with: a net's own numbers, found without taps and scales.

For a net that was built here it is the net itself in float64, tapped and cut by forward hooks. For an imported ONNX
file outputs are those of the file as it came; statistics are worked out in float64 of the lean graph's own tensors, and
blocks are cut out of it one by one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from resprobe_protos.contract import LOGITS, STATISTICS
from torch import Tensor, nn

from resprobe_exporter.graph.residual import find
from resprobe_exporter.graph.torch_export import Served
from resprobe_exporter.graph.utils import branch_shape
from resprobe_exporter.nets.blocks import Addition
from resprobe_exporter.verification.ort import Graph

Array = npt.NDArray[np.float64]
Hook = Callable[[nn.Module, tuple[Tensor, Tensor], Tensor], Tensor | None]


@dataclass(frozen=True)
class Reference:
    """The numbers for some inputs.

    Attributes:
        source: Whose they are, as an error says it.
        blocks: Names of the L blocks.
        sizes: Values in each block's branch: channels × height × width.
        outputs: By name, each [n, …]; the first is what a net is asked for, its logits.
        statistics: [n, L, 4], as AddBlockStatistics has them.
        without: The first output for the first input without each single block, [L, …].
        tolerance: Relative: how far a graph may be off.
    """

    source: str
    blocks: Sequence[str]
    sizes: Sequence[int]
    outputs: Mapping[str, Array]
    statistics: Array
    without: Array
    tolerance: float = 1e-4


def of_net(served: Served, images: npt.NDArray[np.uint8]) -> Reference:
    """Makes the reference from a net in float64 and evaluation mode.

    Args:
        served: The net with its normalisation.
        images: uint8 [n, height, width, channels].
    """
    blocks = served.net.blocks
    sizes = [block.channels * block.height * block.width for block in blocks]
    logits, statistics = _tapped(served, images)
    without = _cut(served, images[:1])
    return Reference("PyTorch", [block.name for block in blocks], sizes, {LOGITS: logits}, statistics, without)


def of_graph(
    lean: ir.Model,
    blocks: Sequence[str],
    inputs: npt.NDArray[np.generic],
    outputs: Mapping[str, npt.NDArray[np.generic]],
    directory: Path,
    tolerance: float,
) -> Reference:
    """Makes the reference from an imported graph.

    Args:
        lean: The graph, with its weights in `directory`.
        blocks: Names of its residual additions, in their order.
        inputs: [n, …], what the graph takes.
        outputs: What the file as it came returns for them.
        directory: Where its weights are, and graphs may be written for the moment.
        tolerance: See Reference.
    """
    tapped = lean.clone()
    additions = list(find(tapped.graph))
    for value in {value for one in additions for value in (one.branch, one.shortcut)}:
        if not value.is_graph_output():
            tapped.graph.outputs.append(value)
    found = _run(tapped, inputs, directory)
    statistics = [_statistics(found[str(one.branch.name)], found[str(one.shortcut.name)]) for one in additions]
    without = []
    for index in range(len(additions)):
        cut = lean.clone()
        addition = list(find(cut.graph))[index]
        addition.node.outputs[0].replace_all_uses_with(addition.shortcut, replace_graph_outputs=True)
        without.append(next(iter(_run(cut, inputs[:1], directory).values()))[0])
    return Reference(
        "the file",
        blocks,
        [int(np.prod(branch_shape(one))) for one in additions],
        {name: array.astype(np.float64) for name, array in outputs.items()},
        np.stack(statistics, axis=1),
        np.stack(without).astype(np.float64),
        tolerance,
    )


def _run(model: ir.Model, inputs: npt.NDArray[np.generic], directory: Path) -> Mapping[str, npt.NDArray[np.float32]]:
    path = directory / ".reference.onnx"
    try:
        ir.save(model, path)
        return Graph(path, "the graph for any number of images").run(inputs)
    finally:
        path.unlink(missing_ok=True)


def _statistics(branch: npt.NDArray[np.generic], shortcut: npt.NDArray[np.generic]) -> Array:
    f, s = (array.astype(np.float64).reshape(len(array), -1) for array in (branch, shortcut))
    lengths = np.linalg.norm(f, axis=1), np.linalg.norm(s, axis=1)
    return np.stack([*lengths, (f * s).sum(axis=1), f.mean(axis=1)], axis=1)


@torch.no_grad()
def _tapped(served: Served, images: npt.NDArray[np.uint8]) -> tuple[Array, Array]:
    """Logits [n, classes] and block statistics [n, L, 4]."""
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
def _cut(served: Served, image: npt.NDArray[np.uint8]) -> Array:
    """Logits without each single block, [L, classes].

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
