"""Large messages are checked before they are parsed: requests pass, messages that would hold up all clients do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import resprobe_pb2 as pb
from resprobe_server.errors import InvalidRequest, NotFound, RequestError, Unreadable
from resprobe_server.services.message_limits import MAX_NUMBERS, MAX_TEXT, SMALL, Readers, check, schema_of

INFER, CLASSIFY = schema_of(oip.ModelInferRequest.DESCRIPTOR), schema_of(pb.ClassifyRequest.DESCRIPTOR)
MIB = 1 << 20


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


IMAGES = st.builds(
    pb.Image,
    pixels=st.builds(pb.Pixels, height=st.integers(0, 2**31 - 1), channels=st.integers(0, 300), data=st.binary()),
)
CLASSIFICATIONS = st.builds(
    pb.ClassifyRequest,
    model=st.text(max_size=20),
    images=st.lists(IMAGES, max_size=4),
    top_k=st.integers(-(2**31), 2**31 - 1),
    block_scale=st.lists(st.floats(width=32), max_size=9),
    id=st.text(max_size=20),
)


@given(CLASSIFICATIONS)
def test_every_message_of_a_normal_size_passes(request: pb.ClassifyRequest) -> None:
    check(request.SerializeToString(), CLASSIFY, 100)


@given(CLASSIFICATIONS, st.integers(0, 200), st.integers(0, 255))
def test_what_passes_is_parsed_as_before_and_damage_is_no_other_error(
    request: pb.ClassifyRequest, place: int, byte: int
) -> None:
    data = bytearray(request.SerializeToString())
    if data:
        data[place % len(data)] = byte
    try:
        check(bytes(data), CLASSIFY, 100)
    except RequestError:
        return


TENSOR = field(1, b"image")
ATTACKS: dict[str, tuple[Any, bytes, type[Exception]]] = {
    "empty images": (CLASSIFY, b"\x1a\x00" * MIB, InvalidRequest),
    "empty inputs": (INFER, b"\x2a\x00" * MIB, InvalidRequest),
    "unknown numbers": (CLASSIFY, b"\x78\x01" * MIB, InvalidRequest),
    "unknown numbers inside an image": (CLASSIFY, field(3, field(2, b"\x78\x01" * MIB)), InvalidRequest),
    "parameters": (INFER, b"\x22\x00" * MIB, InvalidRequest),
    "parameters of an input": (INFER, field(5, b"\x22\x00" * MIB), InvalidRequest),
    "sizes one by one": (INFER, field(5, b"\x18\x01" * MIB), InvalidRequest),
    "values one by one": (INFER, field(5, field(5, b"\x20\x01" * MIB)), InvalidRequest),
    "values": (INFER, field(5, TENSOR + field(5, field(4, bytes(MAX_NUMBERS + 1)))), InvalidRequest),
    "outputs": (INFER, field(6, field(1, b"logits")) * MIB, InvalidRequest),
    "an id": (CLASSIFY, field(7, b"i" * MIB), InvalidRequest),
    "a name of an input": (INFER, field(5, field(1, b"i" * MIB)), InvalidRequest),
    "a name of a model": (CLASSIFY, field(1, b"m" * MIB), NotFound),
    "another name of a model": (INFER, field(1, b"m" * MIB), NotFound),
    "groups": (CLASSIFY, b"\x7b" * MIB, Unreadable),
    "endless numbers": (CLASSIFY, b"\x78" + b"\xff" * MIB, Unreadable),
    "endless tags": (CLASSIFY, b"\xff" * MIB, Unreadable),
    "a field beyond the end": (CLASSIFY, b"\x1a\xff\xff\xff\x7f" + bytes(SMALL), Unreadable),
}


@pytest.mark.parametrize(("schema", "data", "error"), ATTACKS.values(), ids=ATTACKS)
def test_what_would_hold_all_callers_up_is_refused_unparsed(schema: Any, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        check(data, schema, 40_000)
    assert type(caught.value) is error
    assert len(str(caught.value)) < 300


def test_methods_without_tensors_take_little() -> None:
    read = Readers(max_images=8)("inference.GRPCInferenceService/ServerLive", len)
    assert read(bytes(SMALL)) == SMALL
    with pytest.raises(InvalidRequest, match="ServerLive accepts at most 65536"):
        read(bytes(SMALL + 1))


def test_a_small_message_is_not_walked() -> None:
    read = Readers(max_images=8)("resprobe.v1.ResidualService/Classify", len)
    text = field(7, b"i" * (MAX_TEXT + 1))
    assert read(text) == len(text)
    with pytest.raises(InvalidRequest, match="id has"):
        read(text + bytes(SMALL))
