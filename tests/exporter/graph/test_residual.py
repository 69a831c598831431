"""Residual additions are found in graphs, and others are left alone."""

import sys

import numpy as np
import onnx_ir as ir
import pytest
from resprobe_exporter.graph.residual import OtherAddition, examine_additions, find

from tests.support.graph_builder import SHAPE, Builder


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


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_what_is_linear_in_x_is_not_a_branch(depth: int) -> None:
    """RepVGG and MobileOne: convolutions of x, or x, beside one another."""
    build = Builder()
    branch = x = build.input
    for _ in range(depth):
        branch = build.conv(branch)
    inner = build.op("Add", build.conv(build.conv(x)), branch)
    found = list(examine_additions(build.model(build.op("Add", inner, build.conv(x))).graph))
    assert len(found) == 2
    for one in found:
        assert isinstance(one, OtherAddition)
        assert one.reason.startswith("no non-linearity between x and F(x)")


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
