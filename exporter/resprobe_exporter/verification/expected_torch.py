"""The numbers of a net that was built here: the net itself in float64, tapped and cut by forward hooks."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from resprobe_protos.contract import LOGITS
from torch import Tensor, nn

from resprobe_exporter.graph.torch_export import Served
from resprobe_exporter.nets.blocks import Addition
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.verification.reference import FINE, Array, Norms, Reference, block_statistics

Images = npt.NDArray[np.uint8]
Hook = Callable[[nn.Module, tuple[Tensor, Tensor], Tensor], Tensor | None]


@dataclass(frozen=True, eq=False)
class TorchOracle:
    """A net and its normalisation.

    Attributes:
        net: Net in any mode, on any device; it is not changed.
        preprocessing: Normalisation of its pixels.
        inputs: Images to compare on, uint8 [n, height, width, channels].
        source: Name of the source, for messages.
        tolerance: Maximum relative error of a graph.
    """

    net: ResNet
    preprocessing: Preprocessing
    inputs: Images
    source: str = "PyTorch"
    tolerance: float = FINE

    def reference(self, directory: Path) -> Reference:
        """Runs the net in float64 and evaluation mode; `directory` is not used."""
        del directory
        net = copy.deepcopy(self.net).cpu().double().eval()
        served = Served(net, self.preprocessing.mean, self.preprocessing.std)
        logits, operands = _tapped(served, self.inputs)
        without = _cut(served, self.inputs[:1])
        blocks, outputs = net.blocks, {LOGITS: logits}
        names, sizes = [block.name for block in blocks], [block.size for block in blocks]
        norms = Norms.of(operands, [1] * len(names))
        statistics = block_statistics(operands, len(self.inputs))
        return Reference(self.source, self.inputs, names, sizes, outputs, statistics, without, norms, self.tolerance)


@torch.no_grad()
def _tapped(served: Served, images: Images) -> tuple[Array, list[tuple[Array, Array]]]:
    """Computes logits [n, classes], and branch and shortcut of each block, [n, channels, height, width]."""
    found: list[tuple[Array, Array]] = []

    def tap(_module: nn.Module, operands: tuple[Tensor, Tensor], _output: Tensor) -> None:
        branch, shortcut = (operand.double().numpy() for operand in operands)
        found.append((branch, shortcut))

    with _hooked(served, tap):
        logits = served(torch.from_numpy(images))
    return logits.double().numpy(), found


@torch.no_grad()
def _cut(served: Served, image: Images) -> Array:
    """Computes the logits without each single block, [L, classes].

    One pass is enough: up to a block, the net without it is the intact net. So the batch starts with the image alone,
    and at each addition a row is appended, which is the intact row's shortcut without the branch.
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
