"""What a shortcut may go through: the table of operators without a non-linearity, and what in a graph is computed.

A value is *computed* if it depends on an input of the graph: on its numbers, not only on its size. Weights are not,
whether they are stored as they are or made in the graph (dequantised, standardised, cast); nor is what Shape reads off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir

ShortcutKind = Literal["identity", "pad", "projection"]

# Each operator, and what a shortcut through it does to x: it keeps the numbers ("identity": types, axes, and rounding
# to a quantised type may change), it selects, averages or adds zeros ("pad"), or it weighs them ("projection"). A
# shortcut through several does what stands last among these three. What an operator must fulfil besides: _is_linear.
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
QUANTISING = frozenset({"QuantizeLinear", "DequantizeLinear"})  # also of com.microsoft, for 16 bits
SIZES = frozenset({"Shape", "Size"})


@dataclass(frozen=True)
class Path:
    """The way back from a value, without a non-linearity.

    Attributes:
        values: The value itself, then its ancestors, down to the first that comes from something else.
        kinds: What lies between each of them and the next; one fewer than values.
    """

    values: Sequence[ir.Value]
    kinds: Sequence[ShortcutKind]

    def kind(self, length: int) -> ShortcutKind:
        """What the operators above the value at this place do together."""
        return max(self.kinds[:length], key=ORDER.index, default="identity")


class Linear:
    """What is computed in a graph, and from what without a non-linearity.

    It is worked out once, in one pass over the graph, which must be topologically sorted and does not change after.
    """

    def __init__(self, graph: ir.Graph) -> None:
        """Looks at every node."""
        self._computed = set(graph.inputs) - set(graph.initializers.values())
        self._steps: dict[ir.Value, tuple[ir.Value, ShortcutKind]] = {}
        for node in graph:
            inputs = self.inputs(node)
            if (inputs and node.op_type not in SIZES) or _has_body(node):
                self._computed.update(node.outputs)
                if (step := self._step(node, inputs)) is not None:
                    self._steps[node.outputs[0]] = step

    def computed(self, value: ir.Value | None) -> bool:
        """Whether it depends on the numbers that the graph is given."""
        return value in self._computed

    def inputs(self, node: ir.Node) -> list[ir.Value]:
        """The computed inputs of a node, each once."""
        return [value for value in dict.fromkeys(node.inputs) if value is not None and value in self._computed]

    def has_weights(self, value: ir.Value) -> bool:
        """Whether the operator behind this value has weights, several floats, or may have: it is not one of ONNX's."""
        node = value.producer()
        if node is None or node.op_type in QUANTISING:
            return False
        if node.domain or node.op_type in WEIGHTED:
            return True
        return any(one is not None and one not in self._computed and _is_several(one) for one in node.inputs)

    def path(self, value: ir.Value) -> Path:
        """The way back from a value through STEPS."""
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
        """Where all come from without a non-linearity, as x does from x and x · 0, and what lies on the ways there."""
        first, *others = (self.path(value) for value in values)
        places = [{value: place for place, value in enumerate(path.values)} for path in others]
        for length, value in enumerate(first.values):
            if all(value in one for one in places):
                kinds = [first.kind(length), "pad"]
                kinds += [path.kind(place[value]) for path, place in zip(others, places, strict=True)]
                return value, max(kinds, key=ORDER.index)
        return None


def _is_linear(node: ir.Node, inputs: Sequence[ir.Value]) -> bool:
    """Whether this node is what its operator is in STEPS for."""
    if node.op_type not in COMMUTING and any(one in inputs for one in node.inputs[1:]):
        return False
    if node.op_type == "MaxPool":  # of single positions: it takes every second one, and no maximum
        return len(node.outputs) == 1 and all(size == 1 for size in node.attributes.get_ints("kernel_shape", [0]))
    if node.op_type == "Cast":
        return ir.DataType(node.attributes.get_int("to", 0)).is_floating_point()
    return True


def _is_zero(value: ir.Value | None) -> bool:
    constant = ir.convenience.get_const_tensor(value) if value is not None else None
    return constant is not None and not np.any(constant.numpy())


def _is_several(value: ir.Value) -> bool:
    """Whether it is more than one number of a floating type, as far as that is known."""
    floats = value.dtype is None or value.dtype.is_floating_point()
    return floats and (value.shape is None or any(size != 1 for size in value.shape))


def _has_body(node: ir.Node) -> bool:
    """Whether it is an If or a Loop, which may read any value of the graph."""
    return any(one.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for one in node.attributes.values())
