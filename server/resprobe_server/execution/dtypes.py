"""Datatypes of tensors: ONNX Runtime's names, NumPy's types and the Open Inference Protocol's names, in one table."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Datatype:
    """Datatype of a tensor.

    Attributes:
        name: Name in the Open Inference Protocol.
        dtype: NumPy's type of its arrays; object, with elements of type bytes, for BYTES.
        contents: Field of the protocol's InferTensorContents that carries it; empty if only raw contents do.
    """

    name: str
    dtype: np.dtype[Any]
    contents: str


BYTES, UINT8, FP32 = "BYTES", "UINT8", "FP32"
DATATYPES = {
    name: Datatype(name, np.dtype(dtype), contents)
    for name, dtype, contents in (
        ("BOOL", "?", "bool_contents"),
        (UINT8, "u1", "uint_contents"),
        ("UINT16", "<u2", "uint_contents"),
        ("UINT32", "<u4", "uint_contents"),
        ("UINT64", "<u8", "uint64_contents"),
        ("INT8", "i1", "int_contents"),
        ("INT16", "<i2", "int_contents"),
        ("INT32", "<i4", "int_contents"),
        ("INT64", "<i8", "int64_contents"),
        ("FP16", "<f2", ""),
        (FP32, "<f4", "fp32_contents"),
        ("FP64", "<f8", "fp64_contents"),
        (BYTES, "O", "bytes_contents"),
    )
}
ONNX_NAMES = {"FP16": "float16", FP32: "float", "FP64": "double", BYTES: "string"}  # where it is not in lower case
BY_ONNX = {f"tensor({ONNX_NAMES.get(name, name.lower())})": datatype for name, datatype in DATATYPES.items()}
BY_DTYPE = {datatype.dtype: datatype for datatype in DATATYPES.values()}
