"""Block statistics of exported nets are PyTorch's, and graphs without blocks are refused."""

import copy

import numpy as np
import onnx_ir as ir
import pytest
import torch
from resprobe_exporter.graph.passes.block_statistics import AddBlockStatistics
from resprobe_exporter.graph.passes.insert_identity_norm import UntieBranches
from resprobe_exporter.graph.residual import find
from resprobe_exporter.graph.torch_export import to_onnx
from resprobe_exporter.nets.blocks import Addition, BasicBlock
from resprobe_exporter.nets.resnet import ResNet
from torch import Tensor, nn

from tests.support.graph_builder import Builder, run
from tests.support.nets import small_net


def tapped(net: ResNet, images: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Logits, and branch and shortcut of each block, [n, values], as PyTorch computes them in float64."""
    taps: list[tuple[np.ndarray, np.ndarray]] = []

    def tap(_module: nn.Module, operands: tuple[Tensor, Tensor], _total: Tensor) -> None:
        branch, shortcut = (operand.flatten(1).detach().numpy() for operand in operands)
        taps.append((branch, shortcut))

    net = copy.deepcopy(net).double()
    for module in net.modules():
        if isinstance(module, Addition):
            module.register_forward_hook(tap)
    logits = net((torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255 - 0.5) / 0.25)
    return logits.detach().numpy(), taps


def exported(net: ResNet, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and block statistics of the exported graph."""
    model = to_onnx(net, (0.5,), (0.25,))
    assert len(list(find(model.graph))) == len(net.blocks)
    averaged = "avgpool" in net.architecture.shortcut  # those stay as they are
    assert averaged or "Pad" not in {node.op_type for node in model.graph}
    assert {addition.kind for addition in find(model.graph)} <= {"identity", "pad", "projection"}
    AddBlockStatistics()(model)
    UntieBranches()(model)
    logits, blocks = run(model, image=images)
    return logits, blocks


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("family", "shortcut", "size"),
    [
        ("resnet", "A", 8),
        ("resnet", "A", 7),
        ("resnet", "A-append", 8),
        ("resnet", "A-avgpool", 8),
        ("resnet", "A-append-avgpool", 7),
        ("preact", "A-append-avgpool", 8),
        ("resnet", "B", 7),
        ("resnet", "C", 8),
        ("preact", "A", 7),
        ("preact", "B", 8),
    ],
)
def test_statistics_of_exported_nets_equal_pytorchs(family: str, shortcut: str, size: int) -> None:
    net, images = small_net(family, shortcut, size), noise(3, size, size, 1)
    logits, blocks = exported(net, images)
    expected, taps = tapped(net, images)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    assert blocks.shape == (3, 3, 4)
    for found, (branch, shortcut_) in zip(np.moveaxis(blocks, 1, 0), taps, strict=True):
        lengths = np.linalg.norm(branch, axis=1), np.linalg.norm(shortcut_, axis=1)
        np.testing.assert_allclose(found[:, 0], lengths[0], rtol=1e-4)
        np.testing.assert_allclose(found[:, 1], lengths[1], rtol=1e-4)
        np.testing.assert_allclose(
            found[:, 2], (branch * shortcut_).sum(1), atol=1e-4 * (lengths[0] * lengths[1]).max()
        )
        np.testing.assert_allclose(found[:, 3], branch.mean(1), atol=1e-5)


def test_small_ratios_keep_their_digits() -> None:
    net, images = small_net(depth=14), noise(2, 8, 8, 1)
    for block in net.modules():
        if isinstance(block, BasicBlock):
            for parameter in block.bn2.parameters():
                parameter.data *= 1e-3
    _, blocks = exported(net, images)
    _, taps = tapped(net, images)
    expected = np.stack([np.linalg.norm(branch, axis=1) for branch, _ in taps], axis=1)
    np.testing.assert_allclose(blocks[..., 0], expected, rtol=1e-4)
    assert (blocks[..., 0] / blocks[..., 1] < 5e-3).all()


def test_statistics_of_many_blocks_are_joined_in_steps_that_cuda_can_record() -> None:
    build = Builder()
    value = build.input
    for _ in range(70):
        branch = build.op("Mul", build.op("Relu", value), build.constant(np.full((4, 1, 1), 0.1, np.float32)))
        value = build.op("Add", branch, value)
    model = build.model(value)
    AddBlockStatistics()(model)
    assert max(len(node.inputs) for node in model.graph if node.op_type == "Concat") == 32
    blocks = run(model, x=np.ones((1, 4, 6, 6), np.float32))[1]
    np.testing.assert_allclose(blocks[0, :, 1], 12 * 1.1 ** np.arange(70), rtol=1e-4)


def test_a_float16_graph_sums_in_float32() -> None:
    build = Builder()
    build.input.dtype = ir.DataType.FLOAT16
    scale = build.constant(np.full((4, 1, 1), 100, np.float16))
    branch = build.op("Mul", build.op("Relu", build.input), scale)
    model = build.model(build.op("Add", branch, build.input))
    AddBlockStatistics()(model)
    images = np.full((1, 4, 6, 6), 8, np.float16)  # squares of the branch do not fit into float16
    blocks = run(model, x=images)[1]
    assert blocks.dtype == np.float32
    np.testing.assert_allclose(blocks[0, 0], [9600, 96, 800 * 8 * 144, 800], rtol=1e-5)


def test_a_graph_without_residual_additions_is_refused() -> None:
    build = Builder()
    with pytest.raises(ir.passes.PreconditionError, match="no residual additions"):
        AddBlockStatistics()(build.model(build.branch(build.input)))


def test_a_branch_of_unknown_size_is_refused() -> None:
    build = Builder()
    branch = build.branch(build.input)
    branch.shape = ir.Shape([None, 4, None, None])
    with pytest.raises(ir.passes.PreconditionError, match="expected a batch axis and known sizes"):
        AddBlockStatistics()(build.model(build.op("Add", branch, build.input)))
