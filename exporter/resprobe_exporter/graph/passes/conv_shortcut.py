"""Rewrites zero-padded shortcuts (option A) as one convolution, which runtimes keep in the layout of its neighbours.

Slice and Pad work in plain NCHW order. ONNX Runtime's CPU kernels work in blocks of channels, so with these two a whole
stage loses its fused additions: the identity shortcuts that follow stay in NCHW too.
"""

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from resprobe_exporter.graph.residual import ResidualAddition, find
from resprobe_exporter.graph.utils import integers

SPATIAL = (2, 3)


class PadShortcutToConv(ir.passes.InPlacePass):
    """Replaces Slice…Pad on a shortcut by a 1×1 Conv whose weights are 0 and 1: the same numbers, exactly.

    Requires: a topologically sorted graph with known channel counts.
    Ensures: no residual addition has a shortcut of Slice and Pad that one convolution can replace.
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
                modified = True
        if modified:
            common_passes.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified)


def _as_convolution(addition: ResidualAddition) -> tuple[ir.Node, ir.Value] | None:
    """Creates a convolution that does what a shortcut does, and its weights. If None, none can."""
    stride, before = (1, 1), 0
    for value in addition.path:
        node = value.producer()
        if node is None:
            return None
        if node.op_type == "Slice" and (steps := _steps(node)) is not None:
            stride = (stride[0] * steps[0], stride[1] * steps[1])
        elif node.op_type == "Pad" and (added := _channels_before(node)) is not None:
            before += added
        else:
            return None
    inputs, outputs = _channels(addition.source), _channels(addition.shortcut)
    if inputs is None or outputs is None:
        return None
    name, dtype = addition.shortcut.name, addition.shortcut.dtype or ir.DataType.FLOAT
    weights = np.zeros((outputs, inputs, 1, 1), dtype.numpy())
    weights[before + np.arange(inputs), np.arange(inputs)] = 1
    kernel = ir.Value(name=f"{name}.select", const_value=ir.tensor(weights, name=f"{name}.select"))
    kernel.shape, kernel.dtype = ir.Shape(weights.shape), dtype
    attributes = {"kernel_shape": [1, 1], "strides": list(stride)}
    node = ir.node("Conv", [addition.source, kernel], attributes, name=f"{name}.select")
    padded = node.outputs[0]
    padded.name, padded.shape, padded.dtype = f"{name}.padded", addition.shortcut.shape, dtype
    return node, kernel


def _steps(node: ir.Node) -> tuple[int, int] | None:
    """Returns the steps of a Slice on height and width. If None, it does more than sampling."""
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
    """Returns how many zero channels a Pad adds before the others. If None, it pads more than channels with zeros."""
    pads, value, axes = (integers(one) for one in (*node.inputs[1:], None, None)[:3])
    mode = node.attributes.get_string("mode", "constant")
    if pads is None or axes is not None or mode != "constant" or (value is not None and any(value)):
        return None
    before, after = pads[: len(pads) // 2], pads[len(pads) // 2 :]
    others = [*before[:1], *before[2:], *after[:1], *after[2:]]
    return None if any(others) or before[1] < 0 or after[1] < 0 else before[1]


def _channels(value: ir.Value) -> int | None:
    size = value.shape[1] if value.shape is not None and len(value.shape) == 4 else None
    return size if isinstance(size, int) else None
