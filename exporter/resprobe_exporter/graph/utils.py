"""What the passes that add to a graph have in common: the size of a branch, and constants that are made once."""

import numpy as np
import onnx_ir as ir

from resprobe_exporter.graph.residual import ResidualAddition, find


def additions_to_tap(graph: ir.Graph) -> list[ResidualAddition]:
    """The residual additions. Raises PreconditionError if there are none, or the size of one is not known."""
    additions = list(find(graph))
    if not additions:
        raise ir.passes.PreconditionError("the graph has no residual additions")
    for addition in additions:
        branch_shape(addition)
    return additions


def branch_shape(addition: ResidualAddition) -> tuple[int, int, int]:
    """Channels, height and width. Raises PreconditionError if they are not known."""
    shape = addition.branch.shape
    sizes = [] if shape is None else list(shape)[1:]
    if len(sizes) != 3 or not all(isinstance(size, int) for size in sizes):
        raise ir.passes.PreconditionError(
            f"the branch {addition.branch.name} has shape {shape}; expected [n, c, h, w] with known c, h and w"
        )
    channels, height, width = (int(size) for size in sizes)  # type: ignore[arg-type]  # checked above
    return channels, height, width


def branch_dtype(addition: ResidualAddition) -> ir.DataType:
    """What the branch is computed in; float32 where the graph does not say."""
    return addition.branch.dtype or ir.DataType.FLOAT


def constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """The constant of this name, made when it is first asked for."""
    if name not in graph.initializers:
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
        graph.register_initializer(value)
    return graph.initializers[name]


def integers(value: ir.Value | None) -> list[int] | None:
    """The numbers of a constant. If None, it is none."""
    if value is None or value.const_value is None:
        return None
    return [int(number) for number in value.const_value.numpy().reshape(-1)]


def replace_operand(addition: ResidualAddition, operand: ir.Value, value: ir.Value) -> None:
    """Makes the addition add this instead of one of its operands."""
    value.shape, value.dtype = operand.shape, branch_dtype(addition)
    for index, one in enumerate(addition.node.inputs):
        if one is operand:
            addition.node.replace_input_with(index, value)
