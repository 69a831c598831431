"""Reads quantised tensors off a graph: codes, scale and zero point of what a DequantizeLinear returns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir


@dataclass(frozen=True, eq=False)
class Codes:
    """A tensor as scale · (codes − zero_point).

    Attributes:
        tensor: Codes, 8-bit.
        scale: Step between two codes.
        zero_point: Code of zero.
    """

    tensor: ir.Value
    scale: float
    zero_point: int

    def decode(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Returns the numbers that an array of codes stands for, in float64."""
        numbers: npt.NDArray[np.float64] = self.scale * (array.astype(np.float64) - self.zero_point)
        return numbers


def codes(value: ir.Value) -> Codes | None:
    """Returns the codes of a value. If None, it is not dequantised from 8 bits with one scale and zero point."""
    node = value.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    scale, zero_point = (_number(one) for one in (*node.inputs[1:], None, None)[:2])
    dtype = node.inputs[0].dtype
    if scale is None or dtype not in (ir.DataType.UINT8, ir.DataType.INT8, None):
        return None
    return Codes(node.inputs[0], scale, int(zero_point or 0))


def _number(value: ir.Value | None) -> float | None:
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return float(tensor.numpy().item()) if tensor is not None and tensor.size == 1 else None


def is_quantised(value: ir.Value) -> bool:
    """Returns whether a value is dequantised, perhaps multiplied by the scale of its block since."""
    node = value.producer()
    if node is not None and node.op_type == "Mul" and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node is not None and node.op_type == "DequantizeLinear"
