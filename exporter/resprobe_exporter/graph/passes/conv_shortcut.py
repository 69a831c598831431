"""Rewrites zero-padded shortcuts (option A) as one convolution, which runtimes keep in the layout of its neighbours.

Slice and Pad are done in plain NCHW order. ONNX Runtime's CPU kernels work in blocks of channels, so these two cost a
whole stage its fused additions: the identity shortcuts that follow stay in NCHW too.
"""

import numpy as np
import onnx_ir as ir

from resprobe_exporter.graph.residual import ResidualAddition, find
from resprobe_exporter.graph.utils import integers

SPATIAL = (2, 3)


class PadShortcutToConv(ir.passes.InPlacePass):
    """Replaces Slice…Pad on a shortcut by a 1×1 Conv whose weights are 0 and 1: the same numbers, exactly.

    Requires: a topologically sorted graph with known channel counts.
    Ensures: no residual addition has a shortcut of Slice and Pad that one convolution can stand for.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Changes the model as the class says."""
        modified = False
        for addition in list(find(model.graph)):
            if addition.kind == "pad" and (convolution := _as_convolution(addition)) is not None:
                node, weights = convolution
                model.graph.register_initializer(weights)
                model.graph.insert_before(addition.node, node)
                addition.shortcut.replace_all_uses_with(node.outputs[0])
                _remove_unused(model.graph, addition.shortcut)
                modified = True
        return ir.passes.PassResult(model, modified)


def _as_convolution(addition: ResidualAddition) -> tuple[ir.Node, ir.Value] | None:
    stride, before = (1, 1), 0
    for value in addition.path:
        node = value.producer()
        assert node is not None
        if node.op_type == "Slice" and (steps := _steps(node)) is not None:
            stride = (stride[0] * steps[0], stride[1] * steps[1])
        elif node.op_type == "Pad" and (added := _channels_before(node)) is not None:
            before += added
        else:
            return None
    inputs, outputs = _channels(addition.source), _channels(addition.shortcut)
    dtype = addition.shortcut.dtype or ir.DataType.FLOAT
    name = addition.shortcut.name
    weights = np.zeros((outputs, inputs, 1, 1), dtype.numpy())
    weights[before + np.arange(inputs), np.arange(inputs)] = 1
    kernel = ir.Value(name=f"{name}.select", const_value=ir.tensor(weights, name=f"{name}.select"))
    kernel.shape, kernel.dtype = ir.Shape(weights.shape), dtype
    attributes = {"kernel_shape": [1, 1], "strides": list(stride)}
    node = ir.node("Conv", [addition.source, kernel], attributes, name=f"{name}.select")
    node.outputs[0].name, node.outputs[0].shape, node.outputs[0].dtype = (
        f"{name}.padded",
        addition.shortcut.shape,
        dtype,
    )
    return node, kernel


def _steps(node: ir.Node) -> tuple[int, int] | None:
    """The steps of a Slice on height and width, if it takes every such position from the first on."""
    starts, ends, axes, steps = (integers(value) for value in (*node.inputs[1:], None, None)[:4])
    if starts is None or ends is None or axes is None:
        return None
    steps = [1] * len(starts) if steps is None else steps
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    found = {2: 1, 3: 1}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = shape[axis] if shape is not None else None
        whole = start == 0 and (not isinstance(size, int) or end >= size)
        if not whole or step < 1 or (axis not in SPATIAL and step != 1):
            return None
        if axis in SPATIAL:
            found[axis] *= step
    return found[2], found[3]


def _channels_before(node: ir.Node) -> int | None:
    """How many zero channels a Pad puts before the others, if it pads nothing else."""
    pads, value, axes = (integers(one) for one in (*node.inputs[1:], None, None)[:3])
    mode = node.attributes.get_string("mode", "constant")
    if pads is None or axes is not None or mode != "constant" or (value is not None and any(value)):
        return None
    before, after = pads[: len(pads) // 2], pads[len(pads) // 2 :]
    others = [*before[:1], *before[2:], *after[:1], *after[2:]]
    return None if any(others) or before[1] < 0 or after[1] < 0 else before[1]


def _channels(value: ir.Value) -> int:
    assert value.shape is not None
    return int(value.shape[1])  # type: ignore[arg-type]  # required to be known


def _remove_unused(graph: ir.Graph, value: ir.Value) -> None:
    while (node := value.producer()) is not None and not value.uses() and not value.is_graph_output():
        source = node.inputs[0]
        graph.remove(node, safe=True)
        assert source is not None
        value = source
