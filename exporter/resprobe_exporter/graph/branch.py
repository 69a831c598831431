"""Rules about the operators between x and F(x): a branch has weights and a non-linearity, and they tell its kind."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

import onnx_ir as ir

from resprobe_exporter.graph.linear import Linear
from resprobe_exporter.nets.info import BranchKind

ATTENTION = frozenset(  # operators that attend in one step
    {"Attention", "GroupQueryAttention", "MultiHeadAttention", "PackedAttention", "QAttention", "RotaryAttention"}
)
CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "ConvTranspose", "FusedConv", "QLinearConv"})
PRODUCTS = frozenset({"Einsum", "MatMul", "MatMulInteger"})


def why_not_a_branch(values: Iterable[ir.Value], linear: Linear) -> str | None:
    """Returns why the operators between x and an operand are not a branch. If None, they are.

    Args:
        values: Values between x and the operand, with the operand.
        linear: What is linear in the graph.
    """
    values = set(values)
    if not any(linear.has_weights(value) for value in values):
        return "no layer with weights between x and F(x)"
    if not any(linear.is_nonlinear(value) or _clips(value, values, linear) for value in values):
        return "no non-linearity between x and F(x): both operands are linear in x, as parallel convolutions are"
    return None


def _clips(value: ir.Value, values: AbstractSet[ir.Value], linear: Linear) -> bool:
    """Returns whether a value is quantised between two layers, as a quantiser does that leaves out their ReLU."""
    node = value.producer()
    if node is None or node.op_type != "QuantizeLinear":
        return False
    readers = [reader for use in value.uses() for reader in use.node.outputs]
    layers = [after for reader in readers for use in reader.uses() for after in use.node.outputs]
    return any(one in values and linear.has_weights(one) for one in layers)


def branch_kind(values: Iterable[ir.Value], linear: Linear) -> BranchKind:
    """Returns what a branch is made of, as far as its operators tell.

    Where two computed tensors are multiplied as matrices, as queries and keys are, it is attention; else, where a
    convolution sees more than one position, it is convolutions; else it works on each position, or between positions
    with fixed weights, and is an MLP.

    Args:
        values: Values between x and F(x), with F(x).
        linear: What is linear in the graph.
    """
    nodes = {node for value in values if (node := value.producer()) is not None}
    if any(_attends(node, linear) for node in nodes):
        return "attention"
    return "conv" if any(_sees_neighbours(node) for node in nodes) else "mlp"


def _attends(node: ir.Node, linear: Linear) -> bool:
    if node.op_type in ATTENTION:
        return True
    return node.op_type in PRODUCTS and len(linear.inputs(node)) > 1


def _sees_neighbours(node: ir.Node) -> bool:
    if node.op_type not in CONVOLUTIONS:
        return False
    weights = node.inputs[3 if node.op_type == "QLinearConv" else 1]
    shape = weights.shape if weights is not None else None
    sizes = list(shape)[2:] if shape is not None else node.attributes.get_ints("kernel_shape", [0])
    return any(size != 1 for size in sizes)
