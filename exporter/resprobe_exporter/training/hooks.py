"""Measurements of a net's layers while it runs: norms of gradients, sizes of responses, ratios of blocks."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from resprobe_exporter.nets.blocks import Addition
from resprobe_exporter.nets.resnet import ResNet, response_std


def gradient_norms(net: nn.Module) -> dict[str, float]:
    """Returns the L2 norm of the gradient of each weighted layer's weight, in layer order: conv1, …, linear.

    Call it after `backward`. Weighted layers are convolutions, including those of shortcuts, and linear layers.

    Raises:
        ValueError: A layer has no gradient.
    """
    gradients = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if module.weight.grad is None:
                raise ValueError(f"{name} has no gradient: call backward first")
            gradients[name] = module.weight.grad
    if not gradients:
        return {}
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients.values()])
    return dict(zip(gradients, norms.tolist(), strict=True))


def closed_form(net: ResNet) -> dict[str, float]:
    """Returns what `Responses.std` is on the training distribution, from γ and β alone: sqrt(mean(γ²) + var(β))."""
    return {name: response_std(norm) for name, norm in _responding(net) if isinstance(norm, nn.BatchNorm2d)}


class Responses:
    """A context that measures the responses of a net over all batches that it runs.

    The response of a 3×3 layer is its output after batch norm and before the non-linearity or the addition (He et al.
    2015, §4.2 and Fig. 7). Where no batch norm reads the layer's output first, as at the end of a pre-activation
    branch, it is the output itself. Training and evaluation mode give different responses: batch statistics against
    running ones.
    """

    def __init__(self, net: ResNet) -> None:
        """Prepares the measurement; it begins when the context is entered.

        Args:
            net: Net to measure; it must be called itself, not through a compiled copy.
        """
        self._net = net
        # Between the large tensors of a batch nothing small is left behind: freed memory would fall to pieces, and of a
        # ResNet-56 the process grew by 1 GB for 1,000 images.
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._batch: dict[str, Tensor] = {}
        self._ratios: list[Tensor] = []
        self._names: list[str] = []
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> "Responses":
        for name, module in _responding(self._net):
            self._hooks.append(module.register_forward_hook(partial(self._add_response, name)))
        for name, module in self._net.named_modules():
            if isinstance(module, Addition):
                block = name.rpartition(".")[0]
                self._hooks.append(module.register_forward_hook(partial(self._add_ratio, block)))
        self._hooks.append(self._net.register_forward_hook(self._end_batch))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    @property
    def std(self) -> dict[str, float]:
        """Standard deviation over images, channels and positions of each 3×3 layer's response, in layer order."""
        found = {}
        for name, sums in self._sums.items():
            total, squares = (sums / self._counts[name]).tolist()
            found[name] = max(0.0, squares - total**2) ** 0.5
        return found

    @property
    def ratios(self) -> dict[str, npt.NDArray[np.float64]]:
        """Ratio ‖F(x)‖₂ / ‖s(x)‖₂ of each image [n], for each block from input to output; empty for a plain net."""
        if not self._ratios:
            return {}
        return dict(zip(self._names, torch.cat(self._ratios, 1).cpu().numpy(), strict=True))

    @torch.no_grad()
    def _add_response(self, name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        squares = torch.linalg.vector_norm(output, dtype=torch.float64).square()
        sums = torch.stack([output.sum(dtype=torch.float64), squares])  # no wait for the device
        self._sums[name] = self._sums[name].add_(sums) if name in self._sums else sums
        self._counts[name] += output.numel()

    @torch.no_grad()
    def _add_ratio(self, name: str, _module: nn.Module, operands: tuple[Tensor, Tensor], _output: Tensor) -> None:
        branch, shortcut = (torch.linalg.vector_norm(one.flatten(1), dim=1, dtype=torch.float64) for one in operands)
        self._batch[name] = branch / shortcut

    def _end_batch(self, *_: object) -> None:
        if self._batch:
            self._names = list(self._batch)
            self._ratios.append(torch.stack(list(self._batch.values())))
            self._batch.clear()


def _responding(net: ResNet) -> Iterator[tuple[str, nn.Module]]:
    """Yields the name of each 3×3 layer, and the module whose output is its response."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            parent, _, last = name.rpartition(".")
            owner = net.get_submodule(parent)
            norm = getattr(owner, getattr(owner, "norm_after", {}).get(last, ""), None)
            yield name, norm if isinstance(norm, nn.BatchNorm2d) else module
