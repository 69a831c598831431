"""The status of every request that breaks a rule of the protocol."""

from typing import Any

import grpc
import numpy as np
import pytest
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub

from tests.support.open_inference import arrays, raw_request, tensor

INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


UNSUPPORTED = grpc.StatusCode.FAILED_PRECONDITION


PIXELS = np.zeros((2, 8, 8, 1), np.uint8)


ODD = np.full((1, 8, 8, 1), 0.5, np.float32)


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"model_name": "vgg"}, MISSING, "no model 'vgg'; there are: colour, digits, plain"),
        ({"model_version": "9"}, MISSING, "model digits has no version '9'; there are: 1, 2"),
        ({"raw_input_contents": [bytes(127)]}, INVALID, "image has 127 bytes of raw contents; UINT8 [2, 8, 8, 1] need"),
        ({"raw_input_contents": [bytes(128)] * 2}, INVALID, "there are 2 raw_input_contents for 1 inputs"),
        ({"raw_input_contents": []}, INVALID, "input image has 0 elements; UINT8 [2, 8, 8, 1] needs 128"),
        ({"inputs": [], "raw_input_contents": []}, INVALID, "missing from the request: input image"),
        (
            {"inputs": [tensor("image", "UINT8", PIXELS.shape, uint_contents=[0] * 128)]},
            INVALID,
            "input image has contents beside raw_input_contents; send only one form",
        ),
        (
            {"inputs": [tensor("image", "UINT8", (1, 8, 8, 1), uint_contents=[0] * 65)], "raw_input_contents": []},
            INVALID,
            "input image has 65 elements; UINT8 [1, 8, 8, 1] needs 64",
        ),
        (
            {"inputs": [tensor("image", "UINT8", (1, 8, 8, 1), fp32_contents=[0] * 64)], "raw_input_contents": []},
            INVALID,
            "input image has fp32_contents; UINT8 belongs into uint_contents",
        ),
        (
            {"inputs": [tensor("image", "UINT8", (1, 8, 8, 1), uint_contents=[0] * 63 + [256])]}
            | {"raw_input_contents": []},
            INVALID,
            "element 63 of input image is 256; expected a value of UINT8",
        ),
        (
            {"inputs": [tensor("picture", "UINT8", PIXELS.shape)]},
            INVALID,
            "input 'picture' is unknown to model digits; its inputs: image",
        ),
        (
            {"inputs": [tensor("image", "UINT8", PIXELS.shape)] * 2, "raw_input_contents": [bytes(128)] * 2},
            INVALID,
            "input 'image' is given twice; its inputs: image",
        ),
        (
            {"inputs": [tensor("image", "INT8", PIXELS.shape)]},
            INVALID,
            "input image has datatype 'INT8'; expected UINT8, or FP32, or BYTES for JPEG and PNG files",
        ),
        (
            {"inputs": [tensor("image", "UINT8", (2, 1, 8, 8))]},
            INVALID,
            "input image has shape [2, 1, 8, 8]; expected [n, 8, 8, 1], n at least 1",
        ),
        ({"inputs": [tensor("image", "UINT8", (128,))]}, INVALID, "shape [128]; expected [n, 8, 8, 1]"),
        ({"inputs": [tensor("image", "UINT8", ())]}, INVALID, "shape []; expected [n, 8, 8, 1]"),
        ({"inputs": [tensor("image", "UINT8", (0, 8, 8, 1))]}, INVALID, "shape [0, 8, 8, 1]; expected [n, 8, 8, 1]"),
        ({"inputs": [tensor("image", "UINT8", (-1, 8, 8, 1))]}, INVALID, "shape [-1, 8, 8, 1]; expected [n, 8, 8, 1]"),
        ({"inputs": [tensor("image", "BYTES", (2, 2))]}, INVALID, "shape [2, 2]; expected [n, 1], n at least 1"),
        (
            {"inputs": [tensor("image", "BYTES", (1,))], "raw_input_contents": [b"\5\0\0\0hello"]},
            INVALID,
            "image[0] is 5 bytes that are not a JPEG, PNG or WebP file",
        ),
        (
            {"inputs": [tensor("image", "BYTES", (1,))], "raw_input_contents": [b"\6\0\0\0hello"]},
            INVALID,
            "the raw contents of input image end inside element 0",
        ),
        (
            {"inputs": [tensor("image", "FP32", ODD.shape)], "raw_input_contents": [ODD.tobytes()]},
            INVALID,
            "element 0 of input image is 0.5; expected a pixel: a whole number from 0 to 255",
        ),
        ({"outputs": [{"name": "softmax"}]}, INVALID, "output 'softmax' is unknown to model digits; its outputs: log"),
        (
            {"outputs": [{"name": "logits", "parameters": {"classification": {"int64_param": 0}}}]},
            INVALID,
            "the classification of output logits is 0; expected int64_param of at least 1",
        ),
        (
            {"model_name": "plain", "outputs": [{"name": "blocks"}]},
            UNSUPPORTED,
            "model plain has no block statistics: it has no residual blocks; ask without them",
        ),
        (
            {"parameters": {"sequence_id": {"int64_param": 7}}},
            INVALID,
            "the parameter sequence_id is for stateful models; no model here is one",
        ),
        (
            {"parameters": {"timeout": {"string_param": "1s"}}},
            INVALID,
            "`timeout` must be an int64_param of at least 1",
        ),
    ],
    ids=lambda value: "",
)
def test_status_table(
    stub: GRPCInferenceServiceStub, fields: dict[str, Any], code: grpc.StatusCode, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(raw_request(PIXELS, **fields))
    assert isinstance(caught.value, grpc.Call)
    assert message in str(caught.value.details())
    assert caught.value.code() == code


def test_what_is_ignored(stub: GRPCInferenceServiceStub) -> None:
    ignored = {"priority": {"uint64_param": 3}, "mine": {"string_param": "x"}, "sequence_start": {"bool_param": False}}
    assert arrays(stub.ModelInfer(raw_request(PIXELS, parameters=ignored)))["logits"].shape == (2, 10)


def test_the_parameter_timeout_is_a_deadline(stub: GRPCInferenceServiceStub) -> None:
    late, early = ({"timeout": {"int64_param": microseconds}} for microseconds in (1, 60_000_000))
    with pytest.raises(grpc.RpcError, match="the deadline passed while the request was waiting") as caught:
        stub.ModelInfer(raw_request(PIXELS, parameters=late))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    stub.ModelInfer(raw_request(PIXELS, parameters=early))
