"""Converts tensors between the Open Inference Protocol's forms and NumPy's. Knows no protobuf.

https://github.com/kserve/open-inference-protocol, "Tensor Data" and "Raw Tensor Contents"
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from resprobe_server.errors import InvalidRequest, NotSupported
from resprobe_server.execution.dtypes import BY_ONNX, BYTES, Datatype

Array = npt.NDArray[Any]
PREFIX = 4  # bytes of the length ahead of each BYTES element
MAX_STRINGS = 1 << 20  # elements of a BYTES tensor: each becomes an object
AT_ONCE = 1 << 16  # values converted in one go, which holds the interpreter's lock


def datatype_of(onnx: str, name: str) -> Datatype:
    """Returns the datatype of an ONNX Runtime type, for example tensor(float).

    Raises:
        NotSupported: The protocol has no datatype for it; `name` is that of the input or output.
    """
    datatype = BY_ONNX.get(onnx)
    if datatype is None:
        raise NotSupported(f"{name} is a {onnx}, which the Open Inference Protocol cannot carry")
    return datatype


def from_raw(data: bytes, datatype: Datatype, shape: Sequence[int], name: str) -> Array:
    """Reads a tensor from its element of raw_input_contents, without a copy except for BYTES.

    Args:
        data: Elements, little-endian, row by row.
        datatype: Datatype of the elements.
        shape: Shape that the tensor should have; no size is negative.
        name: Name of the input, for errors.

    Raises:
        InvalidRequest: The shape needs another length.
    """
    if datatype.name == BYTES:
        return from_values(_unpack(data, math.prod(shape), name), datatype, shape, name)
    wanted = math.prod(shape) * datatype.dtype.itemsize
    if len(data) != wanted:
        raise InvalidRequest(
            f"input {name} has {len(data)} bytes of raw contents; {datatype.name} {list(shape)} needs {wanted}", name
        )
    return np.ndarray(_sizes(shape, name), datatype.dtype, data)


def from_values(values: Sequence[Any], datatype: Datatype, shape: Sequence[int], name: str) -> Array:
    """Reads a tensor from the field of `contents` for its datatype. Arguments are those of `from_raw`.

    Raises:
        InvalidRequest: There are more or fewer values than the shape needs, or one is out of the datatype's range.
    """
    if len(values) != math.prod(shape):
        raise InvalidRequest(
            f"input {name} has {len(values)} elements; {datatype.name} {list(shape)} needs {math.prod(shape)}", name
        )
    sizes = _sizes(shape, name)
    if datatype.dtype.kind not in "iu":
        return _to_array(values, datatype.dtype).reshape(sizes)
    wide = _to_array(values, np.dtype(np.uint64 if datatype.dtype.kind == "u" else np.int64))  # 8 bits travel as 32
    narrow = wide.astype(datatype.dtype)
    _check_equal(wide, narrow, f"a value of {datatype.name}", name)
    return narrow.reshape(sizes)


def _to_array(values: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    """Converts in steps, between which other threads run."""
    array = np.empty(len(values), dtype)
    for at in range(0, len(values), AT_ONCE):
        array[at : at + AT_ONCE] = values[at : at + AT_ONCE]
    return array


def _sizes(shape: Sequence[int], name: str) -> tuple[int, ...]:
    """Returns the shape as a tuple. Raises InvalidRequest for one beyond NumPy's limit on the product of its sizes."""
    if math.prod(size for size in shape if size) >> 40:
        raise InvalidRequest(f"input {name} has shape {list(shape)}, which is beyond any tensor", name)
    return tuple(shape)


def to_pixels(values: Array, name: str) -> npt.NDArray[np.uint8]:
    """Converts pixels that were sent as floating point numbers to uint8.

    Raises:
        InvalidRequest: A pixel is not a whole number from 0 to 255; the text names the first one.
    """
    with np.errstate(invalid="ignore"):  # the comparison finds overflows
        pixels = values.astype(np.uint8)
    _check_equal(values, pixels, "a pixel: a whole number from 0 to 255, normalised by the model itself", name)
    return pixels


def _check_equal(values: Array, converted: Array, expected: str, name: str) -> None:
    wrong = values != converted
    if wrong.any():
        place = int(wrong.argmax())
        raise InvalidRequest(f"element {place} of input {name} is {values.flat[place]}; expected {expected}", name)


def to_text(values: Array, name: str) -> Array:
    """Decodes a BYTES tensor to the str objects that ONNX Runtime expects. Raises InvalidRequest if it is not UTF-8."""
    try:
        return np.array([value.decode() for value in values.flat], object).reshape(values.shape)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"input {name} is not UTF-8: {error}", name) from error


def to_raw(array: Array) -> bytes:
    """Writes an array as an element of raw_output_contents."""
    if array.dtype.kind != "O":
        return array.tobytes()
    items = [item if isinstance(item, bytes) else str(item).encode() for item in array.flat]
    return b"".join(len(item).to_bytes(PREFIX, "little") + item for item in items)


def _unpack(data: bytes, wanted: int, name: str) -> list[bytes]:
    """Splits the raw contents of a BYTES tensor: before each element stands its length, 4 bytes, little-endian."""
    if wanted > MAX_STRINGS:
        raise InvalidRequest(f"input {name} has {wanted} elements; a BYTES tensor has at most {MAX_STRINGS}", name)
    elements: list[bytes] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + PREFIX], "little")
        at += PREFIX
        if at + size > len(data):
            raise InvalidRequest(
                f"the raw contents of input {name} end inside element {len(elements)}; "
                f"a BYTES element is its length in {PREFIX} bytes, little-endian, followed by its bytes",
                name,
            )
        if len(elements) == wanted:
            raise InvalidRequest(f"input {name} has more elements than the {wanted} that its shape needs", name)
        elements.append(data[at : at + size])
        at += size
    return elements


def best_classes(values: Array, count: int, labels: Sequence[str]) -> Array:
    """Finds the best classes of each row, as Triton's `classification` has them.

    Args:
        values: Numbers, [n, …]; the axes after the first are flattened.
        count: Number of classes of each row; all of them if there are fewer.
        labels: Label of each class. If empty, labels are left out.

    Returns:
        bytes [n, k], "value:index" or "value:index:label", best first; ties go to the smaller index.
    """
    rows = values.reshape(len(values), -1)
    order = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :count]
    best = np.empty(order.shape, object)
    for row, indices in enumerate(order.tolist()):
        for place, index in enumerate(indices):
            label = f":{labels[index]}" if labels else ""
            best[row, place] = f"{rows[row, index]:f}:{index}{label}".encode()
    return best
