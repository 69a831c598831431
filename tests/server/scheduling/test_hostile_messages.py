"""Messages made to hurt, over a real channel: each is refused, or answered without changing anything else."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import resprobe_pb2 as pb

CLASSIFY, INFER = "/resprobe.v1.ResidualService/Classify", "/inference.GRPCInferenceService/ModelInfer"
LIVE, CHECK = "/inference.GRPCInferenceService/ServerLive", "/grpc.health.v1.Health/Check"
IMAGE = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 1), np.uint8)
MIB = 1 << 20
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address, options=OPTIONS) as opened:
        yield opened


def ask(channel: grpc.Channel, method: str, data: bytes) -> bytes:
    call: Any = channel.unary_unary(method)
    answer: bytes = call(data, timeout=60)
    return answer


def refused(channel: grpc.Channel, method: str, data: bytes) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, method, data)
    assert isinstance(caught.value, grpc.Call)
    return caught.value.code(), str(caught.value.details())


def infer(image: np.ndarray = IMAGE, **fields: Any) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="digits", raw_input_contents=[image.tobytes()], **fields)
    request.inputs.add(name="image", datatype="UINT8", shape=image.shape)
    return request


def classify(**fields: Any) -> pb.ClassifyRequest:
    pixels = pb.Pixels(height=8, width=8, channels=1, data=IMAGE.tobytes())
    return pb.ClassifyRequest(images=[pb.Image(pixels=pixels)], **{"model": "digits", **fields})


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 & 127 | 130, number >> 4, len(content) & 127 | 128, len(content) >> 7]) + content


OUTPUTS = oip.ModelInferRequest.InferRequestedOutputTensor
TIMEOUT = oip.ModelInferRequest()
TIMEOUT.parameters["timeout"].int64_param = 1
CLASSES = OUTPUTS(name="logits")
CLASSES.parameters["classification"].int64_param = 3
TAILS = {
    "blocks": oip.ModelInferRequest(outputs=[OUTPUTS(name="blocks")]),
    "classes": oip.ModelInferRequest(outputs=[CLASSES]),
    "timeout": TIMEOUT,
    "model": oip.ModelInferRequest(model_name="plain"),
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_what_follows_the_pixels_of_one_caller_is_no_others(channel: grpc.Channel, tail: oip.ModelInferRequest) -> None:
    expected = oip.ModelInferResponse.FromString(ask(channel, INFER, infer().SerializeToString()))
    black = np.zeros_like(IMAGE)
    poison = infer(black).SerializeToString() + tail.SerializeToString() + field(1000, black.tobytes())
    call: Any = channel.unary_unary(INFER)
    call.future(poison, timeout=60).exception()
    again = oip.ModelInferResponse.FromString(ask(channel, INFER, infer().SerializeToString()))
    assert again.model_name == expected.model_name == "digits"
    assert [output.name for output in again.outputs] == ["logits"]
    np.testing.assert_allclose(
        np.frombuffer(again.raw_output_contents[0], np.float32),
        np.frombuffer(expected.raw_output_contents[0], np.float32),
        rtol=1e-5,
    )


def test_a_model_named_after_the_pixels_of_one_caller_is_no_others(channel: grpc.Channel) -> None:
    plain = classify().SerializeToString()
    expected = pb.ClassifyResponse.FromString(ask(channel, CLASSIFY, plain)).model
    ask(channel, CLASSIFY, plain + pb.ClassifyRequest(model="plain").SerializeToString())
    assert pb.ClassifyResponse.FromString(ask(channel, CLASSIFY, plain)).model == expected == "digits"


@pytest.mark.parametrize("method", [LIVE, CHECK])
def test_a_large_message_to_a_small_method_is_refused(channel: grpc.Channel, method: str) -> None:
    code, text = refused(channel, method, field(1000, b"x" * 16_000) * 5)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "accepts at most 65536" in text


REFUSED = {
    "empty images": (CLASSIFY, b"\x1a\x00" * MIB),
    "empty inputs": (INFER, b"\x2a\x00" * MIB),
    "an input's shape": (
        INFER,
        infer().SerializeToString() + bytes([42, *b"\x86\x80\x40", 26, *b"\x82\x80\x40"]) + b"\x01" * MIB,
    ),
    "the same output twice": (INFER, infer(outputs=[OUTPUTS(name="logits")] * 2).SerializeToString()),
    "a block scale": (CLASSIFY, classify(block_scale=[1.0] * MIB).SerializeToString()),
}


@pytest.mark.parametrize(("method", "data"), REFUSED.values(), ids=REFUSED)
def test_more_than_a_request_needs_is_refused(channel: grpc.Channel, method: str, data: bytes) -> None:
    code, text = refused(channel, method, data)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(text) <= 1024


@pytest.mark.parametrize("size", [1000, 60_000, MIB])
def test_a_long_name_is_not_found_in_a_short_text(channel: grpc.Channel, size: int) -> None:
    for method, data in (
        (CLASSIFY, classify(model="n" * size)),
        (INFER, oip.ModelInferRequest(model_name="ñ" * size)),
        (INFER, oip.ModelInferRequest(model_name="digits", model_version="1" * size)),
    ):
        code, text = refused(channel, method, data.SerializeToString())
        assert code is grpc.StatusCode.NOT_FOUND
        assert len(text.encode()) <= 1024


def test_a_long_error_names_its_field_in_a_short_text(channel: grpc.Channel) -> None:
    code, text = refused(channel, INFER, infer(parameters={}).SerializeToString() + field(5, field(1, b"i" * 16_000)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(text.encode()) <= 1024


def strings(count: int, **tensor: Any) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="digits", raw_input_contents=[bytes(4 * count)])
    request.inputs.add(name="image", datatype="BYTES", **tensor)
    return request


def test_more_strings_than_the_shape_needs_are_not_read(channel: grpc.Channel) -> None:
    code, text = refused(channel, INFER, strings(MIB, shape=[2]).SerializeToString())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "more elements than the 2" in text


def test_values_of_a_whole_batch_sent_as_numbers_are_answered(channel: grpc.Channel) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2048, 8, 8, 1), np.uint8)
    as_numbers = oip.ModelInferRequest(model_name="digits")
    as_numbers.inputs.add(name="image", datatype="UINT8", shape=images.shape).contents.uint_contents.extend(
        images.ravel().tolist()
    )
    raw = infer(images)
    got, expected = (
        np.frombuffer(
            oip.ModelInferResponse.FromString(ask(channel, INFER, one.SerializeToString())).raw_output_contents[0],
            np.float32,
        )
        for one in (as_numbers, raw)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
