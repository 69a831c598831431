"""Block statistics of 8-bit tensors equal those of the same whole numbers in float64."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resprobe_exporter.graph.passes.block_statistics import AddBlockStatistics
from resprobe_exporter.graph.quantised import codes
from resprobe_exporter.graph.residual import find

from tests.support.graph_builder import Builder, run

Codes = npt.NDArray[np.uint8]


def quantised_block(
    shape: tuple[int, int, int], scales: tuple[float, float], zero_points: tuple[int, int], kind: type = np.uint8
) -> ir.Model:
    """Returns x + F(x), with both operands quantised; F is a 1×1 convolution with −1."""
    build = Builder()
    channels, height, width = shape
    full = (None, channels, height, width)
    build.input.shape = ir.Shape(full)

    def rounded(value: ir.Value, scale: float, zero_point: int) -> ir.Value:
        numbers = build.constant(np.array(scale, np.float32)), build.constant(np.array(zero_point, kind))
        quantised = build.op("QuantizeLinear", value, *numbers, shape=full)
        return build.op("DequantizeLinear", quantised, *numbers, shape=full)

    weights = build.constant(-np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1))
    layer = build.op("Conv", build.input, weights, shape=full)
    branch = build.op(
        "LeakyRelu", layer, shape=full, alpha=1.0
    )  # a block has a non-linearity; this one changes nothing
    branch = rounded(branch, scales[0], zero_points[0])
    model = build.model(build.op("Add", branch, rounded(build.input, scales[1], zero_points[1]), shape=full))
    for node in model.graph:
        for value in node.outputs:
            value.type = None
    common_passes.ShapeInferencePass()(model)
    return model


def expected(codes_of: Codes, scale: float, zero_point: int) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = np.float64(np.float32(scale)) * (codes_of.astype(np.float64) - zero_point)
    return values.reshape(len(codes_of), -1)


def quantise(x: npt.NDArray[np.float32], scale: float, zero_point: int) -> Codes:
    quantised: Codes = np.clip(np.rint(x / np.float32(scale)) + zero_point, 0, 255).astype(np.uint8)
    return quantised


@given(
    st.sampled_from([(8, 1, 1), (16, 8, 8), (3, 8, 4), (24, 5, 5)]),
    st.tuples(st.sampled_from([0.001, 0.03, 2.0]), st.sampled_from([0.02, 0.7])),
    st.tuples(st.integers(0, 255), st.integers(0, 255)),
    st.integers(0, 9),
)
def test_statistics_are_those_of_the_whole_numbers(
    shape: tuple[int, int, int], scales: tuple[float, float], zero_points: tuple[int, int], seed: int
) -> None:
    model = quantised_block(shape, scales, zero_points)
    AddBlockStatistics()(model)
    assert "MatMulInteger" in {node.op_type for node in model.graph}
    x = np.random.default_rng(seed).normal(0, 1, (3, *shape)).astype(np.float32)
    x[0] = 0
    found = run(model, x=x)[1][:, 0].astype(np.float64)
    f = expected(quantise(-x, scales[0], zero_points[0]), scales[0], zero_points[0])
    s = expected(quantise(x, scales[1], zero_points[1]), scales[1], zero_points[1])
    lengths = np.linalg.norm(f, axis=1), np.linalg.norm(s, axis=1)
    np.testing.assert_allclose(found[:, 0], lengths[0], rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], lengths[1], rtol=1e-6)
    assert (np.abs(found[:, 2] - (f * s).sum(axis=1)) <= 1e-6 * lengths[0] * lengths[1]).all()
    assert (np.abs(found[:, 3] - f.mean(axis=1)) <= 1e-6 * lengths[0] / np.sqrt(f.shape[1])).all()
    assert (found[0] == 0).all()  # zeros are zeros, with roots


@pytest.mark.parametrize("zero_points", [(0, 255), (255, 0), (255, 255), (0, 0)])
def test_the_largest_sums_fit_into_32_bits(zero_points: tuple[int, int]) -> None:
    shape = 64, 90, 91  # 524,160 values: eight pieces of 65,520 are just below the limit
    model = quantised_block(shape, (0.01, 0.01), zero_points)
    AddBlockStatistics()(model)
    ends = [node for node in model.graph if node.op_type == "Reshape"]
    assert ends[0].inputs[1].const_value.numpy().tolist() == [0, 16, -1]  # type: ignore[union-attr]
    x = np.full((1, *shape), -9.0, np.float32)
    found = run(model, x=x)[1][0, 0]
    f = (255.0 if zero_points[0] == 0 else 0.0) * 0.01
    s = -(255.0 if zero_points[1] == 255 else 0.0) * 0.01
    size = float(np.prod(shape))
    expected_sums = [abs(f) * np.sqrt(size), abs(s) * np.sqrt(size), f * s * size, f]
    np.testing.assert_allclose(found, expected_sums, rtol=1e-6)


def test_more_pieces_where_sums_would_not_fit() -> None:
    model = quantised_block((256, 56, 56), (0.01, 0.02), (128, 0))
    AddBlockStatistics()(model)
    x = np.random.default_rng(0).normal(0, 1, (1, 256, 56, 56)).astype(np.float32)
    found = run(model, x=x)[1][0, 0]
    f = expected(quantise(-x, 0.01, 128), 0.01, 128)
    s = expected(quantise(x, 0.02, 0), 0.02, 0)
    np.testing.assert_allclose(
        found, [np.linalg.norm(f), np.linalg.norm(s), (f * s).sum(), f.mean()], rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize(
    ("shape", "kind"), [((3, 5, 5), np.uint8), ((16, 8, 8), np.int8)], ids=["pieces are not equal", "signed"]
)
def test_other_tensors_are_tapped_in_float(shape: tuple[int, int, int], kind: type) -> None:
    model = quantised_block(shape, (0.05, 0.05), (0, 0), kind)
    AddBlockStatistics()(model)
    operators = {node.op_type for node in model.graph}
    assert "MatMulInteger" not in operators
    assert "GlobalAveragePool" in operators


def test_float_and_quantised_blocks_keep_their_order() -> None:
    build = Builder()
    numbers = build.constant(np.array(0.05, np.float32)), build.constant(np.array(7, np.uint8))

    def rounded(value: ir.Value) -> ir.Value:
        quantised = build.op("QuantizeLinear", value, *numbers)
        quantised.type = ir.TensorType(ir.DataType.UINT8)
        return build.op("DequantizeLinear", quantised, *numbers)

    value = build.input
    for is_quantised in (False, True, False, True):
        operands = build.branch(value), value
        value = build.op("Add", *(map(rounded, operands) if is_quantised else operands))
    model = build.model(value)
    tapped = model.clone()
    AddBlockStatistics()(tapped)
    assert {"MatMulInteger", "GlobalAveragePool"} <= {node.op_type for node in tapped.graph}
    values = [value for one in find(model.graph) for value in (one.branch, one.shortcut)]
    assert [codes(value) is not None for value in values] == [False, False, True, True] * 2
    model.graph.outputs.extend(value for value in dict.fromkeys(values) if value.name != "x")
    x = np.random.default_rng(0).normal(0, 1, (2, 4, 6, 6)).astype(np.float32)
    names = [value.name for value in model.graph.outputs]
    arrays: dict[str | None, np.ndarray] = {**dict(zip(names, run(model, x=x), strict=True)), "x": x}
    lengths = [np.linalg.norm(arrays[value.name].reshape(2, -1), axis=1) for value in values]
    found = run(tapped, x=x)[1]
    np.testing.assert_allclose(found[..., :2].reshape(2, -1).T, lengths, rtol=1e-5)
