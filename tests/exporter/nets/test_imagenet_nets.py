"""Nets for ImageNet: sizes are the published ones, costs those of He et al. 2015, Table 1."""

import math
from dataclasses import replace

import onnx_ir as ir
import pytest
import torch
from resprobe_exporter.errors import ArchitectureError
from resprobe_exporter.graph.multiply_adds import multiply_adds
from resprobe_exporter.graph.residual import find
from resprobe_exporter.graph.torch_export import to_onnx
from resprobe_exporter.nets.layout import NETS, Layout
from resprobe_exporter.nets.resnet import Architecture, ResNet
from torch import Tensor, nn

from tests.support.nets import small_net

PUBLISHED = {  # parameters for 1,000 classes, as torchvision and timm count them
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    "resnet50d": 25_576_264,
    "resnetv2_50": 25_549_352,
    "resnetv2_50x1_bit": 25_549_352,
}
TABLE_1 = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}  # ×10⁹ multiply-adds


def architecture(name: str, size: int = 224) -> Architecture:
    """The architecture with this published name."""
    depth = name.replace("wide_", "").removeprefix("resnet").removeprefix("resnext").removeprefix("v2_")
    depth = depth.partition("_")[0].removesuffix("d").removesuffix("x1")
    layout = NETS[f"resnet{depth}"]  # type: ignore[index]
    if name.startswith("resnext"):
        groups, width = name.rpartition("_")[2].removesuffix("d").split("x")
        layout = replace(layout, groups=int(groups), width_per_group=int(width))
    if name.startswith("wide"):
        layout = replace(layout, width_per_group=128)
    averaged = name.endswith("50d")
    layout = replace(layout, stem="deep" if averaged else "7x7", bit=name.endswith("bit"))
    family, shortcut = "preact" if "v2" in name else "resnet", "B-avgpool" if averaged else "B"
    return Architecture(family, layout.depth, shortcut, size, size, 3, 1000, layout)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "expected"), PUBLISHED.items(), ids=PUBLISHED)
def test_parameter_counts_are_the_published_ones(name: str, expected: int) -> None:
    with torch.device("meta"):
        net = ResNet(architecture(name))
    assert net.architecture.name == name
    assert net.parameter_count == expected


def counted(net: ResNet) -> int:
    """Multiply-adds of convolutions and the linear layer for one image, counted while the net runs."""
    total = 0

    def count(layer: nn.Module, _inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        total += math.prod(output.shape[1:]) * math.prod(weight.shape[1:])

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    shape = net.architecture
    net.eval()(torch.zeros(1, shape.channels, shape.height, shape.width, device=net.linear.weight.device))
    return total


@pytest.mark.parametrize(("depth", "expected"), TABLE_1.items(), ids=str)
def test_costs_are_those_of_table_1(depth: int, expected: float) -> None:
    """The paper's nets have option A up to 34 layers, and the stride in the first 1×1 layer; it cuts 3.86 to 3.8."""
    layout = replace(NETS[f"resnet{depth}"], strides="v1")  # type: ignore[index]
    with torch.device("meta"):
        net = ResNet(Architecture("resnet", depth, "B" if layout.bottleneck else "A", 224, 224, 3, 1000, layout))
    found = counted(net) / 1e9
    assert expected in (round(found, 1), math.floor(found * 10) / 10), found


def test_the_3x3_layer_costs_more_with_the_stride_of_torchvision() -> None:
    with torch.device("meta"):
        assert counted(ResNet(architecture("resnet50"))) == 4_089_184_256  # as torchvision's page has it: 4.09


@pytest.mark.parametrize(
    ("family", "shortcut", "layout"),
    [
        ("resnet", "A", None),
        ("resnet", "B", None),
        ("preact", "A", Layout((1, 1, 1, 1), width=8)),
        ("resnet", "B-avgpool", Layout((1, 2, 1), bottleneck=True, width=8, groups=2, stem="deep")),
        ("resnet", "A-avgpool", Layout((1, 1, 1), bottleneck=True, width=8, strides="v1")),
        ("preact", "C", Layout((1, 1), bottleneck=True, width=32, bit=True)),
    ],
)
def test_a_graph_costs_what_its_net_costs(family: str, shortcut: str, layout: Layout | None) -> None:
    if layout is None:
        net = small_net(family, shortcut, channels=3)
    else:
        net = ResNet(Architecture(family, layout.depth, shortcut, 30, 26, 3, 5, layout))  # type: ignore[arg-type]
    graph = to_onnx(net, (0.5,) * 3, (0.25,) * 3).graph
    pads = [
        str(one.shortcut.name) for one, block in zip(find(graph), net.blocks, strict=True) if block.shortcut == "pad"
    ]
    assert multiply_adds(graph, pads) == counted(net)


def test_what_cannot_be_counted_is_not_known() -> None:
    graph = to_onnx(small_net(), (0.5,), (0.25,)).graph
    graph.node(0).outputs[0].shape = None
    assert multiply_adds(graph) is not None  # no layer needs this shape
    layer = next(node for node in graph if node.op_type == "Conv")
    layer.outputs[0].shape = ir.Shape(["m", 16, 8, 8])
    assert multiply_adds(graph) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": Layout((2, 2)), "depth": 20}, r"depth 20: blocks of \(2, 2\) make 10"),
        ({"layout": NETS["resnet50"], "depth": 50, "family": "plain"}, "plain nets have basic blocks"),
        ({"layout": Layout((1,), bit=True), "depth": 4}, "Big Transfer are pre-activation nets, not resnet"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        Architecture(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"groups": 2}, "2 groups of 64 channels: basic blocks have 1 of 64"),
        ({"stem": "5x5"}, "stem 5x5 is not one of 3x3, 7x7, deep, tiered"),
        ({"strides": "v2"}, r"strides v2 is not one of v1, v1\.5"),
        ({"groups": 0}, "0 groups"),
    ],
)
def test_layouts_that_do_not_exist(values: dict[str, object], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        Layout((1, 1), **values)  # type: ignore[arg-type]
