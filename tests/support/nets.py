"""Small nets with weights that tell blocks apart, and how one is published."""

import resprobe_server  # isort: skip  # noqa: F401  # first: it says how gRPC reads from connections
from collections.abc import Sequence
from pathlib import Path

import torch
from resprobe_exporter.exits.write import ExitOptions
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.quantization import calibration, quantize, source
from resprobe_exporter.quantization.settings import Settings
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.versions.candidate import Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.writer import with_exits, write_version


def small_net(family: str = "resnet", shortcut: str = "A", size: int = 8, channels: int = 1, depth: int = 8) -> ResNet:
    """A net whose batch norms have seen numbers, so that no two blocks are alike."""
    torch.manual_seed(1)
    shape = Architecture(family, depth, shortcut, size, size, channels, 10)  # type: ignore[arg-type]
    net = ResNet(shape)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def publish_net(net: ResNet, root: Path, name: str, test_set: LabelledImages | None = None) -> Path:
    """Writes a net as a new version."""
    channels = net.architecture.channels
    preprocessing = Preprocessing((0.4,) * channels, (0.3,) * channels)
    labels = tuple(f"class{index}" for index in range(net.architecture.classes))
    candidate = net_candidate(net, preprocessing, labels, Origin("test"), test_set)
    return write_version(candidate, root, name).directory


def publish_cut(root: Path, name: str, training: TrainingImages, blocks: Sequence[str]) -> Path:
    """Writes a net of six blocks as a version that is cut for early exits after some of them."""
    net = small_net(depth=14)
    labels = tuple(map(str, range(10)))
    candidate = net_candidate(net, Preprocessing((0.4,), (0.3,)), labels, Origin("test"))
    exits = ExitOptions(training, blocks, epochs=1, maximum_loss=0.1, seconds=0)
    return write_version(candidate, root, name, with_exits(exits, None)).directory


def publish_int8(root: Path, name: str) -> Path:
    """Quantises version 1 of a model for digits to a model NAME-int8 beside it."""
    float32 = source.read(root / name / "1")
    images = calibration.load("digits", None, float32.image, 64, 0)
    return quantize.quantise(float32, Settings(), *images, root, f"{name}-int8").directory
