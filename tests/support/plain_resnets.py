"""Residual nets as dicts of weights, in the names of torchvision and timm, run by plain functions of torch."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

Dict = dict[str, Tensor]
STAGES = 4


class Weights:
    """Weights by name, made as they are asked for."""

    def __init__(self, statistics: bool = True) -> None:
        torch.manual_seed(0)
        self.tensors: Dict = {}
        self._statistics = statistics

    def conv(self, name: str, inputs: int, outputs: int, kernel: int, groups: int = 1) -> None:
        fan = inputs // groups * kernel**2
        self.tensors[f"{name}.weight"] = torch.randn(outputs, inputs // groups, kernel, kernel) * (2 / fan) ** 0.5

    def norm(self, name: str, channels: int) -> None:
        new = {"weight": torch.rand(channels) + 0.5, "bias": torch.randn(channels) * 0.2}
        if self._statistics:
            new |= {"running_mean": torch.randn(channels) * 0.2, "running_var": torch.rand(channels) + 0.5}
            new["num_batches_tracked"] = torch.tensor(7)
        self.tensors |= {f"{name}.{key}": value for key, value in new.items()}

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        self.tensors |= {f"{name}.weight": torch.randn(outputs, inputs) * 0.1, f"{name}.bias": torch.randn(outputs)}


def torchvision(
    *, bottleneck: bool = True, width: int = 8, groups: int = 1, per_group: int = 64, d: bool = False, kernel: int = 7
) -> Dict:
    """Weights of a net of one block in each stage; with `d`, timm's ResNet-D."""
    weights = Weights()
    if d:
        for index, (inputs, outputs) in zip((0, 3), ((3, width // 2), (width // 2, width // 2)), strict=True):
            weights.conv(f"conv1.{index}", inputs, outputs, 3)
            weights.norm(f"conv1.{index + 1}", outputs)
        weights.conv("conv1.6", width // 2, width, 3)
    else:
        weights.conv("conv1", 3, width, kernel)
    weights.norm("bn1", width)
    inputs = width
    for stage in range(STAGES):
        planes, block = width << stage, f"layer{stage + 1}.0"
        outputs = planes * (4 if bottleneck else 1)
        inner = int(planes * per_group / 64) * groups if bottleneck else planes
        layers = (
            [(inputs, inner, 1), (inner, inner, 3), (inner, outputs, 1)]
            if bottleneck
            else [
                (inputs, planes, 3),
                (planes, planes, 3),
            ]
        )
        for index, (before, after, size) in enumerate(layers, 1):
            weights.conv(f"{block}.conv{index}", before, after, size, groups if size == 3 else 1)
            weights.norm(f"{block}.bn{index}", after)
        if inputs != outputs:
            weights.conv(f"{block}.downsample.{int(d)}", inputs, outputs, 1)
            weights.norm(f"{block}.downsample.{int(d) + 1}", outputs)
        inputs = outputs
    weights.linear("fc", inputs, 10)
    return weights.tensors


def resnetv2(*, bottleneck: bool = True, width: int = 8, bit: bool = False) -> Dict:
    """Weights of a pre-activation net of one block in each stage, in timm's names."""
    weights = Weights(statistics=not bit)
    weights.conv("stem.conv", 3, width, 7)
    inputs = width
    for stage in range(STAGES):
        planes, block = width << stage, f"stages.{stage}.blocks.0"
        outputs = planes * (4 if bottleneck else 1)
        if inputs != outputs:
            weights.conv(f"{block}.downsample.conv", inputs, outputs, 1)
        sizes = [(planes, 1), (planes, 3), (outputs, 1)] if bottleneck else [(planes, 3), (planes, 3)]
        for index, (after, size) in enumerate(sizes, 1):
            weights.norm(f"{block}.norm{index}", inputs)
            weights.conv(f"{block}.conv{index}", inputs, after, size)
            inputs = after
    weights.norm("norm", inputs)
    weights.linear("head.fc", inputs, 10)
    weights.tensors["head.fc.weight"] = weights.tensors["head.fc.weight"][..., None, None]
    return weights.tensors


def conv(weights: Dict, name: str, x: Tensor, stride: int = 1, bit: bool = False) -> Tensor:
    weight = weights[f"{name}.weight"]
    if bit:
        var, mean = torch.var_mean(weight, (1, 2, 3), correction=0, keepdim=True)
        weight = (weight - mean) / (var + 1e-8).sqrt()
    groups = x.shape[1] // weight.shape[1]
    return functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=groups)


def norm(weights: Dict, name: str, x: Tensor, bit: bool = False) -> Tensor:
    scale, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    if bit:
        return functional.group_norm(x, 32, scale, bias)
    return functional.batch_norm(x, weights[f"{name}.running_mean"], weights[f"{name}.running_var"], scale, bias)


def blocks(weights: Dict, pattern: str, first: int) -> Iterator[tuple[str, int]]:
    """Names of the blocks and their strides."""
    for stage in itertools.count(first):
        for block in itertools.count():
            name = pattern.format(stage, block)
            if f"{name}.conv1.weight" not in weights:
                break
            yield name, 2 if block == 0 and stage > first else 1
        if f"{pattern.format(stage + 1, 0)}.conv1.weight" not in weights:
            return


def strides(weights: Dict, block: str, stride: int, is_v1: bool) -> list[int]:
    if f"{block}.conv3.weight" not in weights:
        return [stride, 1]
    return [stride, 1, 1] if is_v1 else [1, stride, 1]


def run_torchvision(weights: Dict, x: Tensor, is_v1: bool = False, pool: bool = True) -> Tensor:
    """Logits of a net of `torchvision`."""
    if "conv1.0.weight" in weights:
        x = norm(weights, "conv1.1", conv(weights, "conv1.0", x, 2)).relu()
        x = norm(weights, "conv1.4", conv(weights, "conv1.3", x)).relu()
        x = conv(weights, "conv1.6", x)
    else:
        x = conv(weights, "conv1", x, 2 if weights["conv1.weight"].shape[-1] == 7 else 1)
    x = norm(weights, "bn1", x).relu()
    x = functional.max_pool2d(x, 3, 2, 1) if pool else x
    for block, stride in blocks(weights, "layer{}.{}", 1):
        branch, shortcut = x, x
        if f"{block}.downsample.2.weight" in weights:
            pooled = functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) if stride == 2 else x
            shortcut = norm(weights, f"{block}.downsample.2", conv(weights, f"{block}.downsample.1", pooled))
        elif f"{block}.downsample.0.weight" in weights:
            shortcut = norm(weights, f"{block}.downsample.1", conv(weights, f"{block}.downsample.0", x, stride))
        for index, one in enumerate(strides(weights, block, stride, is_v1), 1):
            branch = branch if index == 1 else branch.relu()
            branch = norm(weights, f"{block}.bn{index}", conv(weights, f"{block}.conv{index}", branch, one))
        x = (branch + shortcut).relu()
    return functional.linear(x.mean((2, 3)), weights["fc.weight"], weights["fc.bias"])


def run_resnetv2(weights: Dict, x: Tensor) -> Tensor:
    """Logits of a net of `resnetv2`."""
    bit = "norm.running_mean" not in weights
    x = conv(weights, "stem.conv", x, 2, bit)
    x = functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2) if bit else functional.max_pool2d(x, 3, 2, 1)
    for block, stride in blocks(weights, "stages.{}.blocks.{}", 0):
        active = norm(weights, f"{block}.norm1", x, bit).relu()
        shortcut = x
        if f"{block}.downsample.conv.weight" in weights:
            shortcut = conv(weights, f"{block}.downsample.conv", active, stride, bit)
        branch = active
        for index, one in enumerate(strides(weights, block, stride, False), 1):
            branch = branch if index == 1 else norm(weights, f"{block}.norm{index}", branch, bit).relu()
            branch = conv(weights, f"{block}.conv{index}", branch, one, bit)
        x = branch + shortcut
    x = norm(weights, "norm", x, bit).relu()
    return functional.linear(x.mean((2, 3)), weights["head.fc.weight"].flatten(1), weights["head.fc.bias"])
