"""Nets: their sizes are the paper's, their shapes fit any image, and what cannot be built says what can."""

import pytest
import torch
from resprobe_exporter.errors import ArchitectureError
from resprobe_exporter.nets.resnet import Architecture, ResNet

TABLE_6 = {20: "0.27", 32: "0.46", 44: "0.66", 56: "0.85", 110: "1.7", 1202: "19.4"}  # millions, He et al. 2015


def count(depth: int, family: str = "resnet", shortcut: str = "A") -> int:
    with torch.device("meta"):
        return ResNet(Architecture(family, depth, shortcut)).parameter_count  # type: ignore[arg-type]


@pytest.mark.parametrize(("depth", "expected"), TABLE_6.items(), ids=str)
def test_parameter_counts_are_those_of_table_6(depth: int, expected: str) -> None:
    digits = len(expected.partition(".")[2])
    assert f"{count(depth) / 1e6:.{digits}f}" == expected


def test_plain_twin_has_exactly_as_many_parameters() -> None:
    assert count(20, "plain") == count(20)


def test_projections_add_their_weights() -> None:
    grown = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert count(20, shortcut="B") == count(20) + grown
    assert count(8, shortcut="C") == count(8) + grown + 16 * 16 + 2 * 16


@pytest.mark.parametrize("family", ["resnet", "plain", "preact"])
@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 3), (8, 8, 1), (7, 9, 3), (1, 1, 1), (5, 64, 1)])
def test_any_image_size(family: str, shortcut: str, height: int, width: int, channels: int) -> None:
    architecture = Architecture(family, 8, shortcut, height, width, channels, classes=7)  # type: ignore[arg-type]
    net = ResNet(architecture).eval()
    assert net(torch.zeros(2, channels, height, width)).shape == (2, 7)


def test_blocks_are_listed_with_their_shapes() -> None:
    net = ResNet(Architecture(depth=14, height=9, width=16))
    found = [(b.name, b.stage, b.index, b.channels, b.height, b.width, b.stride, b.shortcut) for b in net.blocks]
    assert found == [
        ("stage1.block0", 1, 0, 16, 9, 16, 1, "identity"),
        ("stage1.block1", 1, 1, 16, 9, 16, 1, "identity"),
        ("stage2.block0", 2, 0, 32, 5, 8, 2, "pad"),
        ("stage2.block1", 2, 1, 32, 5, 8, 1, "identity"),
        ("stage3.block0", 3, 0, 64, 3, 4, 2, "pad"),
        ("stage3.block1", 3, 1, 64, 3, 4, 1, "identity"),
    ]


def test_option_b_projects_where_the_shape_changes_and_c_everywhere() -> None:
    kinds = {
        option: [block.shortcut for block in ResNet(Architecture(depth=14, shortcut=option)).blocks]
        for option in ("B", "C")
    }
    assert kinds["B"] == ["identity", "identity", "projection", "identity", "projection", "identity"]
    assert kinds["C"] == ["projection"] * 6


def test_a_plain_net_has_no_residual_blocks() -> None:
    assert ResNet(Architecture("plain", 20)).blocks == []


def test_the_closed_form_is_what_a_batch_norm_does_to_standard_normal_channels() -> None:
    net = ResNet(Architecture(depth=8)).eval()
    norm = net.get_submodule("stage3.block0.bn2")
    assert isinstance(norm, torch.nn.BatchNorm2d)
    torch.nn.init.uniform_(norm.weight, -2, 2)
    torch.nn.init.normal_(norm.bias)
    response = norm(torch.randn(400, 64, 16, 16))
    closed = net.blocks[2].response_std
    assert closed == pytest.approx(response.std().item(), rel=1e-3)


def test_a_preactivation_branch_has_no_closed_form() -> None:
    assert {block.response_std for block in ResNet(Architecture("preact", 8)).blocks} == {None}


@pytest.mark.parametrize(
    ("depth", "message"),
    [(21, "20 and 26"), (109, "104 and 110"), (7, "8 and 14"), (2, "8 and 14"), (-5, "8 and 14"), (25, "20 and 26")],
)
def test_a_depth_that_is_not_6n_plus_2_names_the_nearest(depth: int, message: str) -> None:
    with pytest.raises(ArchitectureError, match=f"depth {depth} is not 6n.2; the nearest that are: {message}"):
        Architecture(depth=depth)


@pytest.mark.parametrize("options", [{"channels": 2}, {"height": 0}, {"classes": 1}, {"family": "vgg"}], ids=str)
def test_what_cannot_be_built_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ArchitectureError):
        Architecture(**options)  # type: ignore[arg-type]
