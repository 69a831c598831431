"""Helpers of the passes: size of a branch, constants that are shared, replaced operands."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from resprobe_protos.contract import BLOCK_SCALE

from resprobe_exporter.graph.residual import ResidualAddition, find

MOST_INPUTS = (
    32  # of a Concat that CUDA can record in a graph (ONNX Runtime 1.31, core/providers/cuda/tensor/concat.cc)
)
POINTWISE = frozenset({"Add", "Cast", "Div", "Dropout", "Identity", "Mul", "Sub"})
ROW_MAJOR = frozenset(  # operators whose result lies in memory in the order of its axes
    {
        "Concat",
        "Einsum",
        "Gemm",
        "LayerNormalization",
        "MatMul",
        "Reshape",
        "Slice",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)


def only_input(graph: ir.Graph) -> tuple[ir.Value, ir.Shape]:
    """Returns the input of a graph and its shape.

    Raises:
        ir.passes.PreconditionError: The graph has several inputs, or the rank of the only one is not known.
    """
    inputs = list(graph.inputs)
    shape = inputs[0].shape if len(inputs) == 1 else None
    if shape is None:
        names = ", ".join(str(value.name) for value in inputs)
        raise ir.passes.PreconditionError(f"the graph has the inputs {names}; expected one with a known shape")
    return inputs[0], shape


def additions_to_tap(graph: ir.Graph) -> list[ResidualAddition]:
    """Returns the residual additions. Raises PreconditionError if there are none, or the size of one is not known."""
    additions = list(find(graph))
    if not additions:
        raise ir.passes.PreconditionError("the graph has no residual additions")
    for addition in additions:
        branch_shape(addition)
    return additions


def branch_shape(addition: ResidualAddition) -> tuple[int, ...]:
    """Returns the sizes of a branch after the batch axis. Raises PreconditionError if they are not known."""
    shape = addition.branch.shape
    sizes = [size for size in (() if shape is None else list(shape)[1:]) if isinstance(size, int)]
    if shape is None or not sizes or len(sizes) < len(shape) - 1:
        raise ir.passes.PreconditionError(
            f"the branch {addition.branch.name} has shape {shape}; expected a batch axis and known sizes"
        )
    return tuple(sizes)


def is_image(addition: ResidualAddition) -> bool:
    """Returns whether operators for images, which runtimes give a layout of their own, compute a branch."""
    node = addition.branch.producer()
    while node is not None and node.op_type in POINTWISE:
        computed = [value for value in node.inputs if value is not None and value.const_value is None]
        is_ours = str(node.name).startswith(BLOCK_SCALE)  # the branch is its first input
        node = computed[0].producer() if is_ours or len(computed) == 1 else None
    return len(branch_shape(addition)) == 3 and (node is None or node.op_type not in ROW_MAJOR)


def branch_dtype(addition: ResidualAddition) -> ir.DataType:
    """Returns the type that a branch is computed in; float32 where the graph does not say."""
    return addition.branch.dtype or ir.DataType.FLOAT


def constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """Returns the initializer of this name, which is created when it is first asked for."""
    if name not in graph.initializers:
        ir.tape.Tape(graph).initializer(ir.tensor(array, name=name))
    return graph.initializers[name]


def integers(value: ir.Value | None) -> list[int] | None:
    """Returns the numbers of a constant. If None, the value is not a constant."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else [int(number) for number in tensor.numpy().reshape(-1)]


def replace_operand(addition: ResidualAddition, operand: ir.Value, value: ir.Value) -> None:
    """Makes an addition add a value instead of one of its operands."""
    value.shape, value.dtype = operand.shape, branch_dtype(addition)
    for index, one in enumerate(addition.node.inputs):
        if one is operand:
            addition.node.replace_input_with(index, value)


def join(tape: ir.tape.Tape, values: Sequence[ir.Value], axis: int) -> ir.Value:
    """Creates nodes that concatenate values along an axis, none with more than MOST_INPUTS inputs.

    The parts of many values are created last part first: ONNX Runtime computes the input of a node that stands last in
    the file first, and the first blocks must be tapped first.
    """
    if len(values) == 1:
        return values[0]
    if len(values) <= MOST_INPUTS:
        return tape.op("Concat", values, {"axis": axis})
    starts = range(0, len(values), MOST_INPUTS)
    parts = [join(tape, values[start : start + MOST_INPUTS], axis) for start in reversed(starts)]
    return join(tape, parts[::-1], axis)
