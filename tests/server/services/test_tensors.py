"""Tensors of the Open Inference Protocol: both forms carry every datatype, and what does not fit is named."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from resprobe_server.errors import InvalidRequest, NotSupported
from resprobe_server.execution.dtypes import BY_DTYPE, BY_ONNX, DATATYPES
from resprobe_server.services.open_inference.tensors import (
    best_classes,
    datatype_of,
    from_raw,
    from_values,
    to_pixels,
    to_raw,
    to_text,
)

NUMBERS = [datatype for datatype in DATATYPES.values() if datatype.name != "BYTES"]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@given(st.data(), st.sampled_from(NUMBERS), SHAPES)
def test_numbers_survive_both_forms(data: st.DataObject, datatype: Any, shape: tuple[int, ...]) -> None:
    array = data.draw(arrays.arrays(datatype.dtype, shape))
    assert BY_DTYPE[array.dtype] is datatype
    raw = from_raw(to_raw(array), datatype, shape, "x")
    forms = [raw]
    if datatype.contents:
        forms.append(from_values(array.reshape(-1).tolist(), datatype, shape, "x"))
    for form in forms:
        assert (form.dtype, form.shape) == (array.dtype, shape)
        np.testing.assert_array_equal(form, array)


@given(st.lists(st.binary(max_size=9), max_size=9))
def test_bytes_survive_both_forms(values: list[bytes]) -> None:
    array = np.array([*values, None], object)[:-1]
    raw = to_raw(array)
    assert raw == b"".join(len(value).to_bytes(4, "little") + value for value in values)
    bytes_ = DATATYPES["BYTES"]
    assert from_raw(raw, bytes_, [len(values)], "x").tolist() == values
    assert from_values(values, bytes_, [1, len(values)], "x").tolist() == [values]


@given(st.lists(st.text(max_size=5), max_size=5))
def test_text_survives(values: list[str]) -> None:
    sent = to_raw(np.array([*values, None], object)[:-1])
    assert to_text(from_raw(sent, DATATYPES["BYTES"], [len(values)], "x"), "x").tolist() == values


def test_raw_numbers_are_not_copied() -> None:
    data = bytes(range(12))
    array = from_raw(data, DATATYPES["UINT8"], [3, 4], "x")
    assert array.__array_interface__["data"][0] == np.frombuffer(data, np.uint8).__array_interface__["data"][0]


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "message"),
    [
        (bytes(5), "FP32", [1], "input x has 5 bytes of raw contents; FP32 [1] needs 4"),
        (bytes(3), "FP16", [2], "input x has 3 bytes of raw contents; FP16 [2] needs 4"),
        (b"", "UINT8", [2, 2], "input x has 0 bytes of raw contents; UINT8 [2, 2] needs 4"),
        (b"\1\0\0\0ab", "BYTES", [2], "the raw contents of input x end inside element 1"),
        (b"\1\0\0\0a\2\0\0\0b", "BYTES", [2], "the raw contents of input x end inside element 1"),
        (b"\1\0\0\0a", "BYTES", [2], "input x has 1 elements; BYTES [2] needs 2"),
    ],
)
def test_raw_contents_that_do_not_fit(data: bytes, datatype: str, shape: list[int], message: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        from_raw(data, DATATYPES[datatype], shape, "x")


@pytest.mark.parametrize(
    ("values", "datatype", "message"),
    [
        ([1, 2, 3], "UINT8", "input x has 3 elements; UINT8 [2] needs 2"),
        ([1, 256], "UINT8", "element 1 of input x is 256; expected a value of UINT8"),
        ([-129, 0], "INT8", "element 0 of input x is -129; expected a value of INT8"),
        ([0, 70_000], "UINT16", "element 1 of input x is 70000; expected a value of UINT16"),
    ],
)
def test_contents_that_do_not_fit(values: list[int], datatype: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        from_values(values, DATATYPES[datatype], [2], "x")


@given(arrays.arrays(np.uint8, SHAPES))
def test_whole_numbers_are_pixels(pixels: npt.NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(to_pixels(pixels.astype(np.float32), "x"), pixels)


@pytest.mark.parametrize("value", [0.5, -1, 256, 1e30, float("nan"), float("inf"), float("-inf")])
def test_other_numbers_are_no_pixels(value: float) -> None:
    values = np.array([[1, 2], [value, value]], np.float32)
    with pytest.raises(InvalidRequest, match=r"element 2 of input x is .*; expected a pixel: a whole number from 0"):
        to_pixels(values, "x")


def test_what_the_protocol_cannot_carry() -> None:
    assert datatype_of("tensor(float16)", "x").name == "FP16"
    assert len(BY_ONNX) == len(DATATYPES)
    with pytest.raises(NotSupported, match=r"output y is a seq\(map\(int64,tensor\(float\)\)\), which the Open"):
        datatype_of("seq(map(int64,tensor(float)))", "output y")


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=st.floats(-9, 9, width=32)))
def test_best_classes(values: npt.NDArray[np.float32]) -> None:
    labels = [f"l{index}" for index in range(values.shape[1])]
    for row, found in zip(values, best_classes(values, 3, labels).tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda index: -row[index])[:3]
        assert found == [f"{row[index]:f}:{index}:l{index}".encode() for index in order]
    assert best_classes(values, 99, ()).shape == values.shape
    assert best_classes(values, 1, ())[0, 0].count(b":") == 1
