"""The graph passes, on graphs written for the purpose and on exported nets, run by ONNX Runtime."""

import copy
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from resprobe_exporter.graph.passes.block_scale import AddBlockScale
from resprobe_exporter.graph.passes.block_statistics import AddBlockStatistics
from resprobe_exporter.graph.passes.conv_shortcut import PadShortcutToConv
from resprobe_exporter.graph.passes.insert_identity_norm import UntieBranches
from resprobe_exporter.graph.residual import find
from resprobe_exporter.graph.torch_export import SCOPES, to_onnx
from resprobe_exporter.nets.blocks import Addition, BasicBlock
from resprobe_exporter.nets.resnet import ResNet
from torch import Tensor, nn

from tests.support.nets import small_net

SHAPE = (None, 4, 6, 6)


class Builder:
    """A small graph of float32 [n, 4, 6, 6] tensors, written by hand."""

    def __init__(self) -> None:
        self.input = ir.Value(name="x", shape=ir.Shape(SHAPE), type=ir.TensorType(ir.DataType.FLOAT))
        self.graph = ir.Graph([self.input], [], nodes=[], opset_imports={"": 20}, name="test")
        self.tape = ir.tape.Tape(self.graph)

    def constant(self, array: np.ndarray) -> ir.Value:
        return self.tape.initializer(ir.tensor(array, name=f"c{len(self.graph.initializers)}"))

    def op(
        self, kind: str, *inputs: ir.Value | None, shape: Sequence[int | None] = SHAPE, **attributes: object
    ) -> ir.Value:
        value = self.tape.op(kind, inputs, attributes)  # type: ignore[arg-type]
        value.shape, value.type = ir.Shape(shape), self.input.type
        return value

    def conv(self, value: ir.Value) -> ir.Value:
        weights = np.random.default_rng(len(self.graph)).normal(0, 0.2, (4, 4, 3, 3)).astype(np.float32)
        return self.op("Conv", value, self.constant(weights), pads=[1, 1, 1, 1])

    def branch(self, value: ir.Value) -> ir.Value:
        return self.conv(self.op("Relu", self.conv(value)))

    def model(self, output: ir.Value) -> ir.Model:
        output.name = "y"
        self.graph.outputs.append(output)
        return ir.Model(self.graph, ir_version=10)


def run(model: ir.Model, **inputs: np.ndarray) -> list[np.ndarray]:
    proto = ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, inputs)
    return outputs


@pytest.mark.parametrize("branch_first", [True, False])
@pytest.mark.parametrize("kind", ["identity", "pad", "projection", "padded slice"])
def test_each_kind_of_shortcut_is_found(kind: str, branch_first: bool) -> None:
    build = Builder()
    x = build.op("Relu", build.conv(build.input))
    shortcut = {
        "identity": lambda: x,
        "pad": lambda: build.op("AveragePool", x, kernel_shape=[1, 1]),
        "projection": lambda: build.op("BatchNormalization", build.conv(x), *[build.constant(np.ones(4, "f"))] * 4),
        "padded slice": lambda: build.op(
            "Concat", build.op("Identity", x), build.constant(np.zeros((1, 0, 6, 6), "f")), axis=1
        ),
    }[kind]()
    branch = build.branch(x)
    total = build.op("Add", *((branch, shortcut) if branch_first else (shortcut, branch)))
    (found,) = find(build.model(build.op("Relu", total)).graph)
    assert (found.branch, found.shortcut, found.source) == (branch, shortcut, x)
    assert found.kind == ("pad" if kind == "padded slice" else kind)


def test_a_branch_without_a_nonlinearity_is_the_longer_path() -> None:
    build = Builder()
    branch = build.conv(build.conv(build.input))
    (found,) = find(build.model(build.op("Add", build.conv(build.input), branch)).graph)
    assert found.branch is branch


def test_blocks_in_a_row_without_activations_between_are_told_apart() -> None:
    build = Builder()
    first = build.op("Add", build.branch(build.input), build.input)
    second = build.op("Add", build.branch(first), first)
    found = list(find(build.model(second).graph))
    assert [one.source for one in found] == [build.input, first]


@pytest.mark.parametrize("kind", ["bias", "two nets", "both nonlinear"])
def test_other_additions_are_not_taken_for_residual_ones(kind: str) -> None:
    build = Builder()
    if kind == "bias":
        total = build.op("Add", build.conv(build.input), build.constant(np.ones((4, 1, 1), np.float32)))
    elif kind == "both nonlinear":
        total = build.op("Add", build.op("Relu", build.conv(build.input)), build.op("Relu", build.conv(build.input)))
    else:
        other = ir.Value(name="z", shape=ir.Shape(SHAPE), type=ir.TensorType(ir.DataType.FLOAT))
        build.graph.inputs.append(other)
        total = build.op("Add", build.branch(build.input), other)
    assert list(find(build.model(total).graph)) == []


def test_finding_is_linear_in_the_number_of_blocks() -> None:
    def calls(blocks: int) -> int:
        build = Builder()
        x = build.input
        for _ in range(blocks):
            x = build.op("Relu", build.op("Add", build.branch(x), x))
        graph, count = build.model(x).graph, 0

        def on_event(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(on_event)
        try:
            found = list(find(graph))
        finally:
            sys.setprofile(None)
        assert len(found) == blocks
        return count

    assert calls(400) < 9 * calls(50)


@given(
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    before=st.integers(0, 5),
    after=st.integers(0, 5),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
@settings(deadline=None)
def test_a_padded_shortcut_as_one_convolution_gives_the_same_numbers(
    stride: tuple[int, int], before: int, after: int, size: tuple[int, int]
) -> None:
    build = Builder()
    shape = (None, 3, *size)
    build.input.shape = ir.Shape(shape)
    strided = tuple(-(-length // step) for length, step in zip(size, stride, strict=True))
    starts, ends, axes = (build.constant(np.array(a)) for a in ([0, 0], [2**63 - 1] * 2, [2, 3]))
    sliced = build.op(
        "Slice", build.input, starts, ends, axes, build.constant(np.array(stride)), shape=(None, 3, *strided)
    )
    full = (None, 3 + before + after, *strided)
    pads = build.constant(np.array([0, before, 0, 0, 0, after, 0, 0]))
    padded = build.op("Pad", sliced, pads, shape=full)
    weights = build.constant(np.ones((3 + before + after, 3, 1, 1), np.float32))
    branch = build.op("Conv", build.op("Relu", build.input, shape=shape), weights, shape=full, strides=list(stride))
    model = build.model(build.op("Add", branch, padded, shape=full))
    images = np.random.default_rng(0).normal(size=(2, 3, *size)).astype(np.float32)
    (expected,) = run(model, x=images)
    assert PadShortcutToConv()(model).modified
    assert {node.op_type for node in model.graph} == {"Conv", "Relu", "Add"}
    assert np.array_equal(run(model, x=images)[0], expected)


def test_a_float16_graph_takes_a_float32_scale() -> None:
    build = Builder()
    build.input.dtype = ir.DataType.FLOAT16
    branch = build.op("Mul", build.op("Relu", build.input), build.constant(np.full((4, 1, 1), 3, np.float16)))
    model = build.model(build.op("Add", branch, build.input))
    AddBlockScale()(model)
    UntieBranches()(model)
    images = np.full((3, 4, 6, 6), 2, np.float16)
    (total,) = run(model, x=images, block_scale=np.array([[0], [1], [0.5]], np.float32))
    assert total.dtype == np.float16
    assert total[:, 0, 0, 0].tolist() == [2, 8, 5]


@pytest.mark.parametrize("change", ["starts later", "pads the border", "reflects", "pads with ones"])
def test_a_shortcut_that_one_convolution_cannot_stand_for_is_left_alone(change: str) -> None:
    build = Builder()
    start = 1 if change == "starts later" else 0
    starts, ends, axes, steps = (build.constant(np.array(a)) for a in ([start] * 2, [6, 6], [2, 3], [2, 2]))
    x = build.op("Relu", build.input)
    sliced = build.op("Slice", x, starts, ends, axes, steps, shape=(None, 4, 3, 3))
    border = 1 if change == "pads the border" else 0
    pads = build.constant(np.array([0, 1, border, 0, 0, 1, 0, 0]))
    value = build.constant(np.array(1, np.float32)) if change == "pads with ones" else None
    mode = "reflect" if change == "reflects" else "constant"
    shape = (None, 6, 3 + border, 3)
    padded = build.op("Pad", sliced, pads, *([] if value is None else [value]), shape=shape, mode=mode)
    weights = build.constant(np.ones((6, 4, 1, 1), np.float32))
    branch = build.op("Conv", build.op("Relu", x), weights, shape=shape, strides=[2, 2])
    model = build.model(build.op("Add", branch, padded, shape=shape))
    assert not PadShortcutToConv()(model).modified
    assert "Pad" in {node.op_type for node in model.graph}


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
    scopes = [addition.node.metadata_props[SCOPES] for addition in find(model.graph)]
    assert all(f"{block.name}.add" in scope for block, scope in zip(net.blocks, scopes, strict=True))
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
    with pytest.raises(ir.passes.PreconditionError, match=r"expected \[n, c, h, w\] with known c, h and w"):
        AddBlockStatistics()(build.model(build.op("Add", branch, build.input)))


def test_an_exported_graph_knows_nothing_of_this_machine(tmp_path: Path) -> None:
    ir.save(to_onnx(small_net(), (0.5,), (0.25,)), tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[3]).encode() not in content
