"""A zero-padded shortcut as one convolution gives the same numbers, or is left alone."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resprobe_exporter.graph.passes.conv_shortcut import PadShortcutToConv

from tests.support.graph_builder import Builder, run


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
