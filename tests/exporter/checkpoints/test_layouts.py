"""Weights in the names of torchvision and timm: the net is read off them, and computes what plain functions do."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from resprobe_exporter.checkpoints import reading, state_dict
from resprobe_exporter.errors import ArchitectureError, CheckpointError
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.versions import metadata
from torch import Tensor

from tests.support.commands import Run
from tests.support.plain_resnets import Dict, resnetv2, run_resnetv2, run_torchvision, torchvision

SIZE = 40  # pixels: of odd size after the stem
NETS: Mapping[str, tuple[Dict, Callable[[Dict, Tensor], Tensor]]] = {
    "resnet10": (torchvision(bottleneck=False), run_torchvision),
    "resnet14": (torchvision(), run_torchvision),
    "resnext14_4x32d": (torchvision(groups=4, per_group=32), run_torchvision),
    "wide_resnet14_2": (torchvision(per_group=128), run_torchvision),
    "resnet14d": (torchvision(d=True), run_torchvision),
    "resnet10d": (torchvision(bottleneck=False, d=True), run_torchvision),
    "resnetv2_14": (resnetv2(), run_resnetv2),
    "resnetv2_10": (resnetv2(bottleneck=False), run_resnetv2),
    "resnetv2_14x1_bit": (resnetv2(width=64, bit=True), run_resnetv2),
}


def save(path: Path, tensors: Mapping[str, object]) -> Path:
    torch.save(dict(tensors), path)
    return path


def read(path: Path, tensors: Mapping[str, object], **options: Any) -> ResNet:
    weights = state_dict.read(save(path, tensors))
    net = ResNet(reading.architecture_of(weights, reading.NetOptions(height=SIZE, **options)))
    state_dict.fill(net, weights)
    return net.eval()


def check(net: ResNet, expected: Callable[[Tensor], Tensor]) -> None:
    images = torch.randn(2, 3, SIZE, SIZE + 6)
    if net.architecture.stages.bit:
        images = images[..., :SIZE]
    with torch.no_grad():
        torch.testing.assert_close(net(images), expected(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("prefix", ["", "model.module."])
def test_a_net_is_read_off_its_weights(tmp_path: Path, name: str, prefix: str) -> None:
    tensors, run = NETS[name]
    net = read(tmp_path / "net.pth", {prefix + key: value for key, value in tensors.items()}, net=name)
    assert net.architecture.name == name
    check(net, lambda images: run(tensors, images))


HUGGING_FACE = (  # names as in transformers' models/resnet/modeling_resnet.py
    (r"^conv1\.", "resnet.embedder.embedder.convolution."),
    (r"^bn1\.", "resnet.embedder.embedder.normalization."),
    (r"^layer(\d)\.(\d+)\.", lambda found: f"resnet.encoder.stages.{int(found[1]) - 1}.layers.{found[2]}."),
    (r"\.conv(\d)\.", lambda found: f".layer.{int(found[1]) - 1}.convolution."),
    (r"\.bn(\d)\.", lambda found: f".layer.{int(found[1]) - 1}.normalization."),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
    (r"^fc\.", "classifier.1."),
)


@pytest.mark.parametrize("name", ["resnet10", "resnet14"])
def test_names_of_hugging_face(tmp_path: Path, name: str) -> None:
    tensors, run = NETS[name]
    renamed = {}
    for key, value in tensors.items():
        for pattern, replacement in HUGGING_FACE:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    net = read(tmp_path / "net.pth", renamed, net=name)
    check(net, lambda images: run(tensors, images))


def test_filters_against_aliasing_are_refused_by_the_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"resnetblur14\.pth is called like a net with filters against aliasing"):
        read(tmp_path / "resnetblur14.pth", NETS["resnet14"][0])


def test_what_weights_do_not_tell_is_an_option(tmp_path: Path) -> None:
    tensors, _ = NETS["resnet14"]
    net = read(tmp_path / "net.pth", tensors, strides="v1")
    check(net, lambda images: run_torchvision(tensors, images, is_v1=True))
    net = read(tmp_path / "net.pth", tensors, pool="none")
    check(net, lambda images: run_torchvision(tensors, images, pool=False))
    small = torchvision(bottleneck=False, kernel=3)  # as reimplementations for CIFAR have it
    net = read(tmp_path / "net.pth", small)
    check(net, lambda images: run_torchvision(small, images, pool=False))
    silu = read(tmp_path / "net.pth", tensors, activation="silu")
    images = torch.randn(1, 3, SIZE, SIZE)
    assert not torch.allclose(silu(images), read(tmp_path / "net.pth", tensors)(images))


def test_convert_says_and_keeps_what_it_assumed(run: Run, tmp_path: Path) -> None:
    path, root = save(tmp_path / "net.pth", NETS["resnet14"][0]), tmp_path / "models"
    options = ["--mean", "0.5", "0.5", "0.5", "--std", "0.2", "0.2", "0.2", "--repository", str(root)]
    code, out, error = run("exporter", "convert", str(path), *options, "--strides", "v1", "--height", "32")
    assert (code, "models/resnet14/1: 4 residual blocks" in out) == (0, True), error
    kept = metadata.read(root / "resnet14" / "1").provenance.converted_as
    assert kept["net"] == "resnet14"
    assert kept["strides"] == "v1: in the first 1×1 layer of a bottleneck; weights do not tell"
    assert kept["stem"] == "7x7 of stride 2, a max pool; weights do not tell"
    assert kept["activation"] == "relu; weights do not tell"
    assert kept["size"] == "32×32; weights do not tell"
    assert all(f"{key} {value.removesuffix('; weights do not tell')}" in error for key, value in kept.items())
    assert "; weights do not tell stem, activation, strides, size\n" in error
    code, out, _ = run("exporter", "inspect", str(root / "resnet14" / "1"), "--json")
    assert (code, '"family": "resnet", "depth": 14' in out) == (0, True)


def test_images_are_of_224_pixels_if_the_stem_shrinks_them(tmp_path: Path) -> None:
    def size(tensors: Dict, **options: Any) -> tuple[int, int]:
        weights = state_dict.read(save(tmp_path / "net.pth", tensors))
        shape = reading.architecture_of(weights, reading.NetOptions(**options))
        return shape.height, shape.width

    assert size(NETS["resnet14"][0]) == (224, 224)
    assert size(NETS["resnet14"][0], width=64) == (64, 64)
    assert size(NETS["resnet14"][0], width=64, height=32) == (32, 64)
    assert size(torchvision(bottleneck=False, kernel=3)) == (32, 32)
    with pytest.raises(ArchitectureError, match="an image of 0×0 pixels"):
        size(NETS["resnet14"][0], height=0)


def test_a_head_of_many_classes(tmp_path: Path) -> None:
    tensors = NETS["resnet14"][0] | {"fc.weight": torch.randn(21843, 256), "fc.bias": torch.randn(21843)}
    assert read(tmp_path / "net.pth", tensors).architecture.classes == 21843


def without(pattern: str, net: str = "resnet14") -> dict[str, Tensor]:
    return {key: value for key, value in NETS[net][0].items() if pattern not in key}


@pytest.mark.parametrize(
    ("tensors", "options", "message"),
    [
        (NETS["resnet14"][0], {"net": "resnet50"}, "--net resnet50: .* holds a resnet of depth 14 .*: resnet14$"),
        (NETS["resnet14"][0], {"depth": 50}, "--depth 50: .* holds a resnet of depth 14"),
        (NETS["resnet14"][0], {"shortcut": "A"}, "--shortcut A: .* with shortcut option B"),
        (NETS["resnet14"][0], {"shortcut": "B-avgpool"}, "--shortcut B-avgpool: .* with shortcut option B"),
        (NETS["resnet10"][0], {"strides": "v1"}, "--strides v1: .* holds basic blocks"),
        (without("layer4"), {}, "the last layer takes 256 channels, and the last of 3 stages has 128; the file may be"),
        (without("layer2"), {}, "lacks blocks between others: it holds 4 stages of 1, 0, 1 and 1 blocks"),
        (without("layer3.0.bn2"), {}, r"keys 4 missing: stage3\.block0\.bn2\.bias"),
        (without("conv2", "resnet10"), {}, r"lacks stage1\.block0\.conv2\.weight; it holds bn1\.bias"),
        (without("fc.", "resnet10"), {}, r"lacks linear\.weight; it holds"),
        (
            without("running"),
            {},
            "holds bn1.weight and no running_mean or running_var of any norm: save net.state_dict",
        ),
        (
            NETS["resnet10"][0] | torchvision(bottleneck=False) | {"layer4.1.conv1.weight": torch.ones(64, 64, 3, 3)},
            {},
            "holds 4 stages of 1, 1, 1 and 2 blocks, which no published net has; .* confirm them by --depth 12",
        ),
        (
            NETS["resnet10"][0] | {"layer3.0.conv2.weight": torch.ones(40, 32, 3, 3)},
            {},
            "holds a 7x7 stem of 8 channels and stages of 8, 16, 40, 64 channels; expected stages of 8",
        ),
        (
            NETS["resnet10"][0] | {"conv1.weight": torch.ones(8, 3, 5, 5)},
            {},
            "begins with a 5×5 layer, not 7×7 or 3×3: expected a ResNet",
        ),
        (NETS["resnet14"][0] | {"layer1.0.conv1.bias": torch.ones(8)}, {}, "1 unexpected: layer1.0.conv1.bias"),
        (
            NETS["resnet14"][0] | {"layer1.0.se.fc1.weight": torch.ones(1)},
            {},
            r"holds an SE-ResNet \(squeeze and excitation, or another attention over channels\), by its "
            r"layer1\.0\.se\.fc1\.weight: expected a ResNet, Wide ResNet, ResNeXt, ResNet-D or pre-activation",
        ),
        (
            {"cls_token": torch.ones(1, 1, 8), "blocks.0.attn.qkv.weight": torch.ones(24, 8)},
            {},
            r"holds a Vision Transformer \(ViT\), by its cls_token",
        ),
        (
            {f"features.denseblock1.denselayer{one}.conv1.weight": torch.ones(8, 8, 1, 1) for one in (1, 2)},
            {},
            "holds a DenseNet, by its features.denseblock1.denselayer1.conv1.weight",
        ),
        ({"classifier.6.weight": torch.ones(8, 3)}, {}, "holds a VGG, AlexNet or SqueezeNet"),
        ({"encoder.0.weight": torch.ones(8, 3)}, {}, r"holds no blocks such as layer1\.0 .*, but encoder\.0\.weight"),
    ],
    ids=range(20),
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, tensors: dict[str, Tensor], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as refused:
        read(tmp_path / "net.pth", tensors, **options)
    assert "\n" not in str(refused.value)


def test_unusual_numbers_of_blocks_are_confirmed(tmp_path: Path) -> None:
    tensors = NETS["resnet10"][0] | {
        key.replace("layer4.0", "layer4.1"): torch.ones(64, 64, 3, 3) if "conv" in key else value
        for key, value in NETS["resnet10"][0].items()
        if key.startswith("layer4.0") and "downsample" not in key
    }
    assert read(tmp_path / "net.pth", tensors, depth=12).architecture.stages.blocks == (1, 1, 1, 2)
