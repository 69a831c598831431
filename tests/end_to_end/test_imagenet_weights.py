"""Weights of torchvision's and timm's ResNets, converted: the logits are those of their own code."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from resprobe_exporter.checkpoints import reading, state_dict
from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import convert
from torch import nn

from tests.support.timm_nets import create, give_statistics, import_timm

SIZE = 96  # pixels; an odd size comes up inside
TORCHVISION = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "resnext50_32x4d": "resnext50_32x4d",
    "resnext101_64x4d": "resnext101_64x4d",
    "wide_resnet50_2": "wide_resnet50_2",
}
TIMM = {
    "resnet10t": "resnet10t",
    "resnet18": "resnet18",
    "resnet18d": "resnet18d",
    "resnet26t": "resnet26t",
    "resnet50": "resnet50",
    "resnet50c": "resnet50c",
    "resnet50d": "resnet50d",
    "resnet200d": "resnet200d",
    "resnext50_32x4d": "resnext50_32x4d",
    "resnext50d_32x4d": "resnext50d_32x4d",
    "wide_resnet50_2": "wide_resnet50_2",
    "resnetv2_18": "resnetv2_18",
    "resnetv2_50": "resnetv2_50",
    "resnetv2_50d": "resnetv2_50d",
    "resnetv2_50t": "resnetv2_50t",
    "resnetv2_50x1_bit": "resnetv2_50x1_bit",
    "resnetv2_50x3_bit": "resnetv2_50x3_bit",
}
REFUSED = {  # what is said of nets whose weights are not enough
    "seresnet50": "holds an SE-ResNet",
    "ecaresnet50d": "holds an SE-ResNet",
    "resnest14d": "holds a ResNeSt",
    "skresnet18": "holds an SK-ResNet",
    "res2net50_26w_4s": "holds a Res2Net",
    "resnetrs50": "holds a ResNet whose max pool is a convolution|holds an SE-ResNet",
    "resnet50_gn": "no running_mean or running_var",
    "resnetv2_50d_gn": "no running_mean or running_var",
    "resnetv2_50d_evos": "no running_mean or running_var",
    "vit_tiny_patch16_224": r"holds a Vision Transformer \(ViT\)",
    "swin_tiny_patch4_window7_224": "holds a Swin transformer",
    "mixer_s16_224": "holds an MLP-Mixer",
    "convnext_atto": "holds a ConvNeXt",
    "densenet121": "holds a DenseNet",
    "efficientnet_b0": "holds an EfficientNet or MobileNet",
    "mobilenetv3_small_100": "holds an EfficientNet or MobileNet",
    "regnety_004": "holds a RegNet|holds an SE-ResNet",
    "dla34": "holds a DLA",
    "vgg11": "holds a VGG",
}

pytestmark = pytest.mark.long


def torchvision(name: str) -> nn.Module:
    import_timm()  # its directory is on the path then
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchvision as library  # type: ignore[import-not-found,import-untyped,unused-ignore]
    torch.manual_seed(0)
    net: nn.Module = library.models.get_model(name).eval()
    return give_statistics(net)


def saved(net: nn.Module, path: Path) -> state_dict.Weights:
    torch.save(net.state_dict(), path)
    return state_dict.read(path)


def check(net: nn.Module, name: str, path: Path, **options: Any) -> None:
    weights = saved(net, path)
    architecture = reading.architecture_of(weights, reading.NetOptions(height=SIZE, **options))
    assert architecture.name == name
    ours = ResNet(architecture)
    state_dict.fill(ours, weights)
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        expected, found = net(images), ours.eval()(images)
    assert expected.std() > 1e-3
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert sum(one.numel() for one in net.parameters()) == ours.parameter_count


@pytest.mark.parametrize(("source", "name"), TORCHVISION.items(), ids=TORCHVISION)
def test_nets_of_torchvision(tmp_path: Path, source: str, name: str) -> None:
    check(torchvision(source), name, tmp_path / "net.pth")


@pytest.mark.parametrize(("source", "name"), TIMM.items(), ids=TIMM)
def test_nets_of_timm(tmp_path: Path, source: str, name: str) -> None:
    check(create(source), name, tmp_path / "net.pth")


def test_options_for_what_weights_do_not_tell(tmp_path: Path) -> None:
    """Options of timm that leave no trace in the weights."""
    timm = import_timm()
    net = give_statistics(timm.create_model("resnet18", act_layer="silu").eval())
    check(net, "resnet18", tmp_path / "net.pth", activation="silu")
    net = torchvision("resnet50")
    for stage in (net.layer2, net.layer3, net.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)  # type: ignore[index,union-attr]
    check(net, "resnet50", tmp_path / "net.pth", strides="v1")
    net = torchvision("resnet18")
    net.maxpool = nn.Identity()
    check(net, "resnet18", tmp_path / "net.pth", pool="none")


@pytest.mark.parametrize(("source", "message"), REFUSED.items(), ids=REFUSED)
def test_other_nets_are_named(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        reading.architecture_of(saved(create(source), tmp_path / "net.pth"), reading.NetOptions())


@pytest.mark.parametrize("source", ["resnet50", "resnet50d", "resnetv2_50", "resnetv2_50x1_bit"])
def test_a_converted_net_as_it_is_served(tmp_path: Path, source: str) -> None:
    net = create(source)
    weights = saved(net, tmp_path / "net.pth")
    shape = reading.architecture_of(weights, reading.NetOptions(height=SIZE))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    version = convert.convert(weights, shape, Preprocessing(mean, std), None, None, tmp_path / "models")
    assert len(version.description.blocks) == 16
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    found = Graph(version.directory / "model.onnx").run(images)["logits"]
    pixels = torch.from_numpy(np.moveaxis((images / 255 - mean) / std, -1, 1).astype(np.float32))
    with torch.no_grad():
        expected = net(pixels).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
