"""Operators that a shortcut may consist of, those without a non-linearity, and which values of a graph are computed.

A value is *computed* if it depends on an input of the graph: on its numbers, not only on its size. Weights are not
computed, whether they are stored or made in the graph (dequantised, standardised, cast); nor are outputs of Shape.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from resprobe_exporter.nets.info import ShortcutKind

# What each operator does to x on a shortcut: "identity" keeps the numbers (types, axes and rounding to a quantised type
# may change), "pad" selects, averages or adds zeros, and "projection" weighs the numbers. A shortcut of several
# operators has the kind that is last among the three. _is_linear has further conditions for some operators.
STEPS: Mapping[str, ShortcutKind] = {
    "Cast": "identity",
    "DequantizeLinear": "identity",
    "Dropout": "identity",
    "Flatten": "identity",
    "Identity": "identity",
    "QuantizeLinear": "identity",
    "Reshape": "identity",
    "Squeeze": "identity",
    "Transpose": "identity",
    "Unsqueeze": "identity",
    "AveragePool": "pad",
    "Concat": "pad",
    "DepthToSpace": "pad",
    "GlobalAveragePool": "pad",
    "MaxPool": "pad",
    "Pad": "pad",
    "Resize": "pad",
    "Slice": "pad",
    "SpaceToDepth": "pad",
    "Add": "projection",
    "BatchNormalization": "projection",
    "Conv": "projection",
    "ConvTranspose": "projection",
    "Div": "projection",
    "Gemm": "projection",
    "MatMul": "projection",
    "Mul": "projection",
    "Neg": "projection",
    "Sub": "projection",
}
ORDER: Sequence[ShortcutKind] = ("identity", "pad", "projection")
WEIGHTED = frozenset(  # layers that a depth counts
    {"Conv", "ConvInteger", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
)
COMMUTING = frozenset({"Add", "Concat", "Gemm", "MatMul", "Mul", "Sub"})  # linear in any input; others in the first
JOINTLY = frozenset({"Add", "Concat", "Mean", "Sub", "Sum"})  # linear in all inputs together
SELECTING = frozenset(  # linear, but not an operator of a shortcut
    {"CumSum", "Expand", "Gather", "ReduceMean", "ReduceSum", "Split", "Tile", "Trilu"}
)
QUANTISING = frozenset({"QuantizeLinear", "DequantizeLinear"})  # also of com.microsoft, for 16 bits
SIZES = frozenset({"Shape", "Size"})


@dataclass(frozen=True)
class Path:
    """Chain of linear operators that ends in a value.

    Attributes:
        values: The value itself, then its ancestors, down to the first that no linear operator made.
        kinds: Kind of the operator between each value and the next; one fewer than values.
    """

    values: Sequence[ir.Value]
    kinds: Sequence[ShortcutKind]

    def kind(self, length: int) -> ShortcutKind:
        """Returns the kind of the first `length` operators together."""
        return max(self.kinds[:length], key=ORDER.index, default="identity")


class Linear:
    """Values of a graph that are computed, and the linear operators that made them.

    One pass over the graph, which must be topologically sorted and must not change afterwards.
    """

    def __init__(self, graph: ir.Graph) -> None:
        """Examines every node."""
        self._computed = set(graph.inputs) - set(graph.initializers.values())
        self._steps: dict[ir.Value, tuple[ir.Value, ShortcutKind]] = {}
        for node in graph:
            inputs = self.inputs(node)
            if (inputs and node.op_type not in SIZES) or has_body(node):
                self._computed.update(node.outputs)
                if (step := self._step(node, inputs)) is not None:
                    self._steps[node.outputs[0]] = step

    def computed(self, value: ir.Value | None) -> bool:
        """Returns whether a value depends on the numbers of the graph's inputs."""
        return value in self._computed

    def inputs(self, node: ir.Node) -> list[ir.Value]:
        """Returns the computed inputs of a node, each once."""
        return [value for value in dict.fromkeys(node.inputs) if value is not None and value in self._computed]

    def is_nonlinear(self, value: ir.Value) -> bool:
        """Returns whether the operator of a value is not linear in its computed inputs, together."""
        node = value.producer()
        if node is None or value in self._steps:
            return False
        if node.domain and node.op_type not in QUANTISING:
            return True
        return node.op_type not in JOINTLY | SELECTING

    def has_weights(self, value: ir.Value) -> bool:
        """Returns whether the operator of a value has weights (several floats), or may: it is not one of ONNX's."""
        node = value.producer()
        if node is None or node.op_type in QUANTISING:
            return False
        if node.domain or node.op_type in WEIGHTED:
            return True
        return any(one is not None and one not in self._computed and _is_several(one) for one in node.inputs)

    def path(self, value: ir.Value) -> Path:
        """Follows linear operators back from a value."""
        values, kinds = [value], list[ShortcutKind]()
        while (step := self._steps.get(values[-1])) is not None:
            values.append(step[0])
            kinds.append(step[1])
        return Path(values, kinds)

    def _step(self, node: ir.Node, inputs: Sequence[ir.Value]) -> tuple[ir.Value, ShortcutKind] | None:
        kind = STEPS.get(node.op_type) if not node.domain or node.op_type in QUANTISING else None
        if kind is None or not _is_linear(node, inputs):
            return None
        if node.op_type == "Concat" and len(inputs) > 1:
            return self._meet(inputs)
        if len(inputs) != 1:
            return None
        zeros = node.op_type == "Mul" and any(_is_zero(value) for value in node.inputs)
        return inputs[0], "pad" if zeros or (node.op_type == "Sub" and node.inputs[0] is node.inputs[1]) else kind

    def _meet(self, values: Sequence[ir.Value]) -> tuple[ir.Value, ShortcutKind] | None:
        """Finds the value that linear operators made these of, as x of x and x · 0, and the kind of their paths."""
        first, *others = (self.path(value) for value in values)
        places = [{value: place for place, value in enumerate(path.values)} for path in others]
        for length, value in enumerate(first.values):
            if all(value in one for one in places):
                kinds = [first.kind(length), "pad"]
                kinds += [path.kind(place[value]) for path, place in zip(others, places, strict=True)]
                return value, max(kinds, key=ORDER.index)
        return None


def _is_linear(node: ir.Node, inputs: Sequence[ir.Value]) -> bool:
    """Returns whether a node does what STEPS says of its operator."""
    if node.op_type not in COMMUTING and any(one in inputs for one in node.inputs[1:]):
        return False
    if node.op_type == "MaxPool":
        return len(node.outputs) == 1 and _subsamples(node)
    if node.op_type == "Cast":
        return ir.DataType(node.attributes.get_int("to", 0)).is_floating_point()
    return True


def _subsamples(node: ir.Node) -> bool:
    """Returns whether a MaxPool selects one of every few positions, as in the shortcuts of Keras, DLA and CoAtNet."""
    single = all(size == 1 for size in node.attributes.get_ints("kernel_shape", [0]))
    return single or all(size > 1 for size in node.attributes.get_ints("strides", [1]))


def _is_zero(value: ir.Value | None) -> bool:
    constant = ir.convenience.get_const_tensor(value) if value is not None else None
    return constant is not None and not np.any(constant.numpy())


def _is_several(value: ir.Value) -> bool:
    """Returns whether a value has several numbers of a floating type, or may have."""
    floats = value.dtype is None or value.dtype.is_floating_point()
    return floats and (value.shape is None or any(size != 1 for size in value.shape))


def has_body(node: ir.Node) -> bool:
    """Returns whether a node is an If or a Loop, which may read any value of the graph."""
    return any(one.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for one in node.attributes.values())
