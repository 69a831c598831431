"""Tensors as the Open Inference Protocol carries them, to and from numpy. Knows no protobuf.

https://github.com/kserve/open-inference-protocol, "Tensor Data" and "Raw Tensor Contents"
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe_server.errors import InvalidRequest, NotSupported

Array = npt.NDArray[Any]
PREFIX = 4  # bytes of the length ahead of each BYTES element


@dataclass(frozen=True, slots=True)
class Datatype:
    """A datatype of the protocol.

    Attributes:
        name: As the protocol has it.
        dtype: Of arrays; objects (bytes) for BYTES.
        contents: The field of InferTensorContents that carries it; empty if it travels raw only.
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


def datatype_of(onnx: str, name: str) -> Datatype:
    """From ONNX Runtime's name of a type, for example tensor(float).

    Raises:
        NotSupported: The protocol has none for it; `name` says of which input or output.
    """
    datatype = BY_ONNX.get(onnx)
    if datatype is None:
        raise NotSupported(f"{name} is a {onnx}, which the Open Inference Protocol cannot carry")
    return datatype


def from_raw(data: bytes, datatype: Datatype, shape: Sequence[int], name: str) -> Array:
    """A tensor from its element of raw_input_contents, without a copy except for BYTES.

    Args:
        data: Little-endian, row by row.
        datatype: Of its elements.
        shape: What it should have; no size is negative.
        name: Of the input, for errors.

    Raises:
        InvalidRequest: The length is not what the shape needs.
    """
    if datatype.name == BYTES:
        return from_values(list(_unpack(data, name)), datatype, shape, name)
    wanted = math.prod(shape) * datatype.dtype.itemsize
    if len(data) != wanted:
        raise InvalidRequest(
            f"input {name} has {len(data)} bytes of raw contents; {datatype.name} {list(shape)} needs {wanted}", name
        )
    return np.frombuffer(data, datatype.dtype).reshape(shape)


def from_values(values: Sequence[Any], datatype: Datatype, shape: Sequence[int], name: str) -> Array:
    """A tensor from the field of `contents` for its datatype; arguments as for from_raw.

    Raises:
        InvalidRequest: There are more or fewer values than the shape needs, or one is out of the datatype's range.
    """
    if len(values) != math.prod(shape):
        raise InvalidRequest(
            f"input {name} has {len(values)} elements; {datatype.name} {list(shape)} needs {math.prod(shape)}", name
        )
    if datatype.dtype.kind not in "iu":
        return np.array(values, datatype.dtype).reshape(shape)
    wide = np.array(values, np.uint64 if datatype.dtype.kind == "u" else np.int64)  # 8 bits travel as 32
    narrow = wide.astype(datatype.dtype)
    _check_equal(wide, narrow, f"a value of {datatype.name}", name)
    return narrow.reshape(shape)


def to_pixels(values: Array, name: str) -> npt.NDArray[np.uint8]:
    """Pixels that were sent as floating point numbers, in uint8.

    Raises:
        InvalidRequest: One is not a whole number from 0 to 255; the text has the first.
    """
    with np.errstate(invalid="ignore"):  # what overflows is found by the comparison
        pixels = values.astype(np.uint8)
    _check_equal(values, pixels, "a pixel: a whole number from 0 to 255, normalised by the model itself", name)
    return pixels


def _check_equal(values: Array, converted: Array, expected: str, name: str) -> None:
    wrong = values != converted
    if wrong.any():
        place = int(wrong.argmax())
        raise InvalidRequest(f"element {place} of input {name} is {values.flat[place]}; expected {expected}", name)


def to_text(values: Array, name: str) -> Array:
    """The bytes of a BYTES tensor as the str objects that ONNX Runtime takes. Raises InvalidRequest if not UTF-8."""
    try:
        return np.array([value.decode() for value in values.flat], object).reshape(values.shape)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"input {name} is not UTF-8: {error}", name) from error


def to_raw(array: Array) -> bytes:
    """An array as an element of raw_output_contents."""
    if array.dtype.kind != "O":
        return array.tobytes()
    items = [item if isinstance(item, bytes) else str(item).encode() for item in array.flat]
    return b"".join(len(item).to_bytes(PREFIX, "little") + item for item in items)


def _unpack(data: bytes, name: str) -> Iterator[bytes]:
    """The elements of a BYTES tensor: each after its length, 4 bytes, little-endian."""
    at = count = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + PREFIX], "little")
        at += PREFIX
        if at + size > len(data):
            raise InvalidRequest(
                f"the raw contents of input {name} end inside element {count}; "
                f"a BYTES element is its length in {PREFIX} bytes, little-endian, and then its bytes",
                name,
            )
        yield data[at : at + size]
        at += size
        count += 1


def best_classes(values: Array, count: int, labels: Sequence[str]) -> Array:
    """The best classes of each row as Triton's `classification` has them.

    Args:
        values: Numbers, [n, …]; what follows the first axis is flattened.
        count: How many of each row; more than there are means all.
        labels: One for each class; empty: without.

    Returns:
        bytes [n, k], "value:index" or "value:index:label", best first; ties go to the smaller index.
    """
    rows = values.reshape(len(values), -1)
    order = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :count]
    found = np.empty(order.shape, object)
    for row, indices in enumerate(order.tolist()):
        for place, index in enumerate(indices):
            label = f":{labels[index]}" if labels else ""
            found[row, place] = f"{rows[row, index]:f}:{index}{label}".encode()
    return found
