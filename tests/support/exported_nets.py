"""A PyTorch net of bottlenecks, its ONNX exports by several exporters, and its numbers in PyTorch."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.versions import import_onnx
from torch import Tensor, nn

SIZE = 16
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
IMAGES = import_onnx.OnnxOptions(Preprocessing(MEAN, STD))  # the graph takes images instead of tensors
Array = npt.NDArray[Any]


class Bottleneck(nn.Module):
    """He et al. 2015, Fig. 5, right; as torchvision writes it."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        grows = stride > 1 or inputs != outputs
        down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = down if grows else nn.Identity()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        branch, shortcut = self.branch(x), self.shortcut(x)
        self.seen.append((branch, shortcut))
        return torch.relu(branch + shortcut)


class Net(nn.Module):
    """A small ImageNet net: three blocks in two stages, 11 weighted layers."""

    def __init__(self, probabilities: bool = False, channels_last: bool = False) -> None:
        super().__init__()
        self.probabilities, self.channels_last = probabilities, channels_last
        self.stem = nn.Sequential(
            nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 1, 1)
        )
        self.blocks = nn.Sequential(Bottleneck(4, 4, 1), Bottleneck(16, 4, 1), Bottleneck(16, 8, 2))
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2) if self.channels_last else x
        x = self.blocks(self.stem(x)).mean((2, 3))
        scores: Tensor = self.head(x.reshape(x.shape[0], 32))
        return scores.softmax(1) if self.probabilities else scores


def make(**options: bool) -> Net:
    torch.manual_seed(3)
    net = Net(**options)
    shape = (32, SIZE, SIZE, 3) if net.channels_last else (32, 3, SIZE, SIZE)
    with torch.no_grad():
        net.train()(torch.randn(shape))
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
    return net.eval()


def export(net: nn.Module, path: Path, shape: tuple[int, ...] = (1, 3, SIZE, SIZE), **options: Any) -> Path:
    dtype = next(net.parameters()).dtype
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters
        torch.onnx.export(
            net, (torch.zeros(shape, dtype=dtype),), path, input_names=["data"], output_names=["prob"], **options
        )
    return path


def old(opset: int, **more: Any) -> dict[str, Any]:
    return {"dynamo": False, "opset_version": opset, **more}


FREE = {"data": {0: "batch"}}
OPEN = {"data": {0: "batch", 1: "channels", 2: "height", 3: "width"}}
NORMS = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}


def hooked(net: Net, images: Array) -> tuple[Array, Array]:
    """Scores and block statistics of PyTorch in float64."""
    pixels = torch.from_numpy((images / 255 - MEAN) / STD)
    net.double()
    net.probabilities = False
    with torch.no_grad():
        scores = net(pixels if net.channels_last else pixels.permute(0, 3, 1, 2))
    rows = []
    for block in net.blocks:
        assert isinstance(block, Bottleneck)
        branch, shortcut = (one.flatten(1).numpy() for one in block.seen[-1])
        lengths = np.linalg.norm(branch, axis=1), np.linalg.norm(shortcut, axis=1)
        rows.append(np.stack([*lengths, (branch * shortcut).sum(1), branch.mean(1)], 1))
    return scores.numpy(), np.stack(rows, 1)


def import_net(path: Path, root: Path, options: import_onnx.OnnxOptions = IMAGES) -> Path:
    """Imports an export as `exporter probe --size` does; the directory of the version."""
    file = onnx_source.read(path, (SIZE, SIZE), scores=options.preprocessing is not None)
    return import_onnx.import_onnx(file, options, None, root, "net").directory


def changed(tmp_path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """Exports a net and changes the file."""
    path = export(make(), tmp_path / "net.onnx", **old(13, dynamic_axes=FREE))
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    return path
