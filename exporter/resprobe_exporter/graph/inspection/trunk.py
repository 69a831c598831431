"""Values between blocks: what the next layer reads of a block's sum, and how other readers may read it."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from resprobe_exporter.graph.quantised import codes

# Operators that stand between a sum and its readers: the activation, and rounding to a quantised type.
FOLLOWING = frozenset({"Relu", "Clip", "QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True)
class Trunk:
    """Value that the layers after a block read.

    Attributes:
        value: The sum after activation and rounding, if these are its only reader.
        steps: Operators from the sum to the value.
    """

    value: ir.Value
    steps: Sequence[str]


def trunk(total: ir.Value) -> Trunk:
    """Follows the sum of a block to what its readers have in common. Call it before readers are added."""
    value, steps = total, list[str]()
    while len(readers := list(value.uses())) == 1 and not value.is_graph_output():
        node = readers[0].node
        if node.op_type not in FOLLOWING or node.inputs[0] is not value:
            break
        value = node.outputs[0]
        steps.append(node.op_type)
    return Trunk(value, tuple(steps))


def as_float(tape: ir.tape.Tape, value: ir.Value) -> ir.Value:
    """Creates a float32 copy of a value, or returns the value if it is one.

    A quantised value is decoded from its codes, as a second reader of a DequantizeLinear would change how ONNX Runtime
    computes.
    """
    found = codes(value)
    if found is None:
        is_float = value.dtype in (None, ir.DataType.FLOAT)
        return value if is_float else tape.op("Cast", [value], {"to": ir.DataType.FLOAT})
    numbers = tape.op("Cast", [found.tensor], {"to": ir.DataType.FLOAT})
    if found.zero_point:
        numbers = tape.op("Sub", [numbers, tape.op("Constant", [], {"value_float": float(found.zero_point)})])
    decoded = tape.op("Mul", [numbers, tape.op("Constant", [], {"value_float": found.scale})])
    decoded.shape, decoded.type = value.shape, ir.TensorType(ir.DataType.FLOAT)
    return decoded


def insert_after(graph: ir.Graph, value: ir.Value, nodes: Sequence[ir.Node]) -> None:
    """Inserts nodes right after the one that makes a value."""
    node = value.producer()
    if node is None:
        raise ir.passes.PreconditionError(f"{value.name} is an input of the graph; expected what a node makes")
    graph.insert_after(node, nodes)
