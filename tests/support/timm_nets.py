"""Nets of timm as an oracle, where RESPROBE_TIMM names a directory with timm and torchvision; see CONTRIBUTING.md."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

VARIABLE = "RESPROBE_TIMM"
Array = npt.NDArray[np.float64]
Count = int | Callable[[nn.Module], int]


def import_timm() -> Any:
    """Imports timm from the directory; skips the test where there is none."""
    directory = os.environ.get(VARIABLE)
    if directory is None:
        pytest.skip(f"{VARIABLE} does not name a directory with timm and torchvision")
    if directory not in sys.path:
        sys.path.append(directory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm  # type: ignore[import-not-found,import-untyped,unused-ignore]
    return timm


def modules(*kinds: str) -> Callable[[nn.Module], int]:
    """Counts the modules of these classes, each of which adds once."""
    return lambda net: sum(type(module).__name__ in kinds for module in net.modules())


def skips(net: nn.Module) -> int:
    """Counts the modules of an EfficientNet that add their input."""
    return sum(bool(getattr(module, "has_skip", False)) for module in net.modules())


@dataclass(frozen=True)
class Case:
    """What is known of a net.

    Attributes:
        count: How many times its code says x + f(x).
        shortcut: Which operand is the shortcut there.
        tolerance: Maximum relative error.
    """

    count: Count
    shortcut: int = 1
    tolerance: float = 1e-4

    def blocks(self, net: nn.Module) -> int:
        return self.count if isinstance(self.count, int) else self.count(net)


NETS: Mapping[str, Case] = {
    "resnet18": Case(8),
    "resnet50": Case(16),
    "resnet152": Case(50),
    "resnext50_32x4d": Case(16),
    "wide_resnet50_2": Case(16),
    "resnetv2_50": Case(16),
    "resnetv2_50x1_bit": Case(16),
    "convnext_atto": Case(modules("ConvNeXtBlock")),
    "efficientnet_b0": Case(skips),
    "regnety_004": Case(modules("Bottleneck")),
    "mobilenetv3_small_100": Case(skips),
    "dla34": Case(modules("DlaBasic")),
    "vit_tiny_patch16_224": Case(24, shortcut=0),
    "deit_tiny_patch16_224": Case(24, shortcut=0),
    "swin_tiny_patch4_window7_224": Case(24, shortcut=0),
    "mixer_s16_224": Case(16, shortcut=0),
}
REFUSED = ("repvgg_a0", "mobileone_s0", "densenet121", "vgg11")


def create(name: str) -> nn.Module:
    """Returns a net with random weights, and with statistics of batch norms and layer scales that are not trivial."""
    timm = import_timm()
    torch.manual_seed(0)
    return give_statistics(timm.create_model(name).eval())


def give_statistics(net: nn.Module) -> nn.Module:
    """Gives batch norms and layer scales of a net values that are not trivial."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
                assert module.running_mean is not None
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
            if isinstance(module, nn.Linear) and not module.weight.any():
                module.weight.normal_(0, 0.02)  # a mixer's head
            if isinstance(gamma := getattr(module, "gamma", None), nn.Parameter):
                gamma.uniform_(0.1, 1)
    return net


def size(net: nn.Module) -> int:
    """Returns height and width of a net's images."""
    return int(net.default_cfg["input_size"][-1])  # type: ignore[index]


def export(net: nn.Module, path: Path, is_new: bool) -> Path:
    options: dict[str, Any] = {"dynamo": False, "opset_version": 17, "dynamic_axes": {"x": {0: "n"}}}
    if is_new:
        options = {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("n")},), "verbose": False}
    example = torch.zeros(2, 3, size(net), size(net))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters
        torch.onnx.export(net, (example,), path, input_names=["x"], output_names=["y"], **options)
    return path


class Additions(TorchDispatchMode):
    """Watches every addition of two tensors of one shape, and leaves the branch out of one of them."""

    def __init__(self, shortcut: int, cut: int | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.shortcut, self.cut = shortcut, cut
        self.rows: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket not in (torch.ops.aten.add, torch.ops.aten.add_):
            return result
        if not all(isinstance(one, Tensor) and one.ndim > 1 for one in args) or args[0].shape != args[1].shape:
            return result
        return self._watch(args, result, is_in_place=func.overloadpacket is torch.ops.aten.add_)

    def _watch(self, operands: tuple[Tensor, Tensor], total: Tensor, is_in_place: bool) -> Tensor:
        shortcut = operands[1] if self.shortcut else (total - operands[1] if is_in_place else operands[0])
        branch = total - shortcut
        f, s = branch.flatten(1), shortcut.flatten(1)
        self.rows.append(torch.stack([f.norm(dim=1), s.norm(dim=1), (f * s).sum(1), f.mean(1)], 1))
        if self.cut != len(self.rows) - 1:
            return total
        return total.copy_(shortcut) if is_in_place else shortcut.clone()


@contextmanager
def watched(shortcut: int, cut: int | None = None) -> Iterator[Additions]:
    """Watches what a net adds."""
    additions = Additions(shortcut, cut)
    with torch.no_grad(), additions:
        yield additions


def in_pytorch(net: nn.Module, pixels: Tensor, shortcut: int, lesions: bool) -> tuple[Array, Array, Array]:
    """Returns scores, block statistics, and scores of the first image without each block, in float64."""
    net = net.double()
    with watched(shortcut) as additions:
        scores = net(pixels.double())
    without = []
    for block in range(len(additions.rows)) if lesions else ():
        with watched(shortcut, block):
            without.append(net(pixels.double())[0])  # of one image, position embeddings have the shape of tokens
    return scores.numpy(), torch.stack(additions.rows, 1).numpy(), np.array([one.numpy() for one in without])
