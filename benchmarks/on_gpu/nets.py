"""Nets in PyTorch: the exporter's, and ResNet-50 of He et al. 2015, Table 1, which the exporter only imports."""

import copy
from collections.abc import Callable

import torch
from resprobe_exporter.nets.layers import as_image
from resprobe_exporter.nets.resnet import Architecture, ResNet
from torch import Tensor, nn

from on_gpu.settings import Model

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Bottleneck(nn.Module):
    """He et al. 2015, Fig. 5, right, with the stride in its 3×3 convolution, as PyTorch's users know it."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.branch = nn.Sequential(
            *_conv(inputs, width, 1), nn.ReLU(), *_conv(width, width, 3, stride), nn.ReLU(), *_conv(width, outputs, 1)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Computes [n, 4 · width, h / stride, w / stride] from [n, inputs, h, w]."""
        return torch.relu(self.branch(x) + self.shortcut(x))


class ResNet50(nn.Module):
    """Computes logits [n, 1000] from normalised images [n, 3, 224, 224]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        blocks, inputs = [], 64
        for width, count, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for index in range(count):
                blocks.append(Bottleneck(inputs, width, 1 if index else first))
                inputs = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(inputs, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Computes logits [n, 1000]."""
        logits: Tensor = self.linear(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


class Served(nn.Module):
    """A net with the input of its graph, uint8 [n, height, width, channels], and a memory format of its own."""

    def __init__(self, net: nn.Module, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.net = net.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch's stubs lack this form
        self._format = memory_format
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", 255 * as_image(MEAN))
        self.register_buffer("std", 255 * as_image(STD))

    def forward(self, image: Tensor) -> Tensor:
        """Computes logits [n, classes]."""
        pixels = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        logits: Tensor = self.net(pixels.contiguous(memory_format=self._format))
        return logits


def make(model: Model) -> nn.Module:
    """Returns a net with random weights, ready for inference, its batch norms calibrated on noise."""
    torch.manual_seed(0)
    net = ResNet50() if model.depth == 50 else ResNet(Architecture(depth=model.depth))
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # what it has seen is all that counts
    with torch.no_grad():
        net.train()(torch.randn(8, 3, model.size, model.size))
    return net.eval()


def runner(
    net: nn.Module,
    images: Tensor,
    memory_format: torch.memory_format = torch.contiguous_format,
    autocast: torch.dtype | None = None,
    compiled: Callable[[nn.Module], Callable[[Tensor], Tensor]] = lambda net: net,
) -> Callable[[], None]:
    """Returns a function that runs a net on the device of its images, and waits for the results.

    Args:
        net: Net on any device; it is not changed.
        images: Images, uint8 [n, h, w, c].
        memory_format: Memory format of the net and its activations.
        autocast: Lower precision to compute in. If None, float32, on CUDA with TF32 in convolutions and matrices.
        compiled: Function that compiles the net before it runs.
    """
    served = compiled(Served(copy.deepcopy(net), memory_format).to(images.device).eval())
    device = images.device.type

    def run() -> None:
        with torch.inference_mode(), torch.autocast(device, autocast, enabled=autocast is not None):
            served(images)
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)
