"""Looks over the bytes of a request before they are parsed, so that one message cannot hold up every caller.

Parsing is done in one go, under the interpreter's lock, and its cost lies in the number of fields rather than in their
size: 60 MiB of empty images take seconds and gigabytes. A large message is therefore walked field by field first, and
refused as soon as it has more fields, or longer numbers and names, than a request within the limits can have.
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from resprobe_protos import open_inference_pb2, resprobe_pb2

from resprobe_server.errors import InvalidRequest, NotFound, Unreadable
from resprobe_server.text import shorten

KIB, MIB = 1 << 10, 1 << 20
SMALL = 64 * KIB  # a message up to this size is parsed unseen; also the maximum for methods that carry no tensors
LONGEST_TEXT = 4 * KIB  # bytes of a name, an id or any other string in a large message
MOST_NUMBERS = 16 * MIB  # bytes of packed numbers in a large message
FIELDS_PER_IMAGE, MORE_FIELDS = 8, 4096  # an image as pixels is six fields
CARRY_TENSORS: Mapping[str, Descriptor] = {  # the requests of methods, by full name
    "resprobe.v1.ResidualService/Classify": resprobe_pb2.ClassifyRequest.DESCRIPTOR,
    "resprobe.v1.ResidualService/ClassifyStream": resprobe_pb2.ClassifyRequest.DESCRIPTOR,
    "inference.GRPCInferenceService/ModelInfer": open_inference_pb2.ModelInferRequest.DESCRIPTOR,
    "inference.GRPCInferenceService/ModelStreamInfer": open_inference_pb2.ModelInferRequest.DESCRIPTOR,
}
MODEL_FIELDS = frozenset({"model", "model_name", "version", "model_version"})
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types; groups (3 and 4) are not used in proto3
SKIP, TEXT, NUMBERS = "skip", "text", "numbers"


@dataclass(frozen=True, eq=False, slots=True)
class Schema:
    """What stands behind each length-delimited field of a message: by field number, its kind or the message's schema.

    Attributes:
        fields: SKIP for bytes, TEXT for strings, NUMBERS for packed numbers, else the Schema of a submessage.
        names: The names of the fields, by number.
    """

    fields: Mapping[int, "str | Schema"]
    names: Mapping[int, str]


def schema_of(message: Descriptor) -> Schema:
    """Makes the schema of a message type that does not contain itself."""
    return Schema(
        {field.number: _kind(field) for field in message.fields},
        {field.number: field.name for field in message.fields},
    )


def _kind(field: FieldDescriptor) -> "str | Schema":
    if field.message_type is not None:
        return schema_of(field.message_type)
    kinds = {FieldDescriptor.TYPE_BYTES: SKIP, FieldDescriptor.TYPE_STRING: TEXT}
    return kinds.get(field.type, NUMBERS)


def small_reader(parse: Callable[[bytes], Any], method: str) -> Callable[[bytes], Any]:
    """Makes a deserializer that refuses more than 64 KiB, for a method whose requests carry no tensors.

    Raises:
        InvalidRequest: From the deserializer, for a message that is larger.
    """

    def read(data: bytes) -> Any:
        if len(data) > SMALL:
            raise InvalidRequest(f"the request has {len(data)} bytes; {method} takes at most {SMALL}")
        return parse(data)

    return read


def guarded_reader(parse: Callable[[bytes], Any], message: Descriptor, max_images: int) -> Callable[[bytes], Any]:
    """Makes a deserializer that looks over a message of more than 64 KiB before it is parsed.

    Args:
        parse: The deserializer of the generated code.
        message: What it reads.
        max_images: Maximum images in a request, from which the maximum number of fields follows.

    Raises:
        InvalidRequest: From the deserializer, for a message that no request within the limits needs.
        NotFound: From the deserializer, for a model's name of more than 4 KiB.
        Unreadable: From the deserializer, for bytes that are not protobuf.
    """
    schema, most = schema_of(message), FIELDS_PER_IMAGE * max_images + MORE_FIELDS

    def read(data: bytes) -> Any:
        if len(data) > SMALL:
            look_over(data, schema, most)
        return parse(data)

    return read


def look_over(data: bytes, schema: Schema, most: int) -> None:
    """Walks the fields of a message, and of its submessages, up to a number of them.

    Args:
        data: The message.
        schema: Of the message.
        most: Maximum number of fields.

    Raises:
        InvalidRequest: There are more fields, more than 16 MiB of packed numbers, or a string of more than 4 KiB.
        NotFound: The long string is the name of a model.
        Unreadable: The bytes are not protobuf.
    """
    count = numbers = 0
    todo = [(schema, 0, len(data))]
    while todo:
        schema, at, end = todo.pop()
        fields = schema.fields
        while at < end:
            count += 1
            if count > most:
                raise InvalidRequest(
                    f"the message has more than {most} fields; no request within the limits needs more"
                )
            tag, at = _varint(data, at, end)
            kind = tag & 7
            if kind != LENGTH:
                at = _after_scalar(data, at, end, kind)
                continue
            size, at = _varint(data, at, end)
            begin, at = at, at + size
            if at > end:
                raise Unreadable("a field of the message ends after the message")
            inner = fields.get(tag >> 3, SKIP)
            if isinstance(inner, Schema):
                todo.append((inner, begin, at))
            elif inner is NUMBERS:
                numbers += size
                if numbers > MOST_NUMBERS:
                    raise InvalidRequest(
                        f"the message has more than {MOST_NUMBERS >> 20} MiB of values as numbers; send a tensor of "
                        "that size as bytes, in raw_input_contents"
                    )
            elif inner is TEXT and size > LONGEST_TEXT:
                raise _too_long(schema.names[tag >> 3], data[begin : begin + LONGEST_TEXT], size)


def _too_long(name: str, text: bytes, size: int) -> InvalidRequest | NotFound:
    if name in MODEL_FIELDS:
        return NotFound(f"no model {shorten(repr(text.decode(errors='replace')), 100)}, a name of {size} bytes")
    return InvalidRequest(f"{name} has {size} bytes; expected at most {LONGEST_TEXT}", name)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Reads a number, and returns it with the place after it."""
    value = shift = 0
    while at < end and shift < 35:  # tags and lengths are 32 bits
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 32:
                break
            return value, at
        shift += 7
    raise Unreadable("the bytes of the request are not protobuf: a tag or length is not a number of 32 bits")


def _after_scalar(data: bytes, at: int, end: int, kind: int) -> int:
    """Returns the place after a number."""
    if kind == VARINT:
        last = min(end, at + 10)
        while at < last:
            at += 1
            if data[at - 1] < 128:
                return at
    elif kind in (FIXED64, FIXED32):
        at += 8 if kind == FIXED64 else 4
        if at <= end:
            return at
    raise Unreadable(
        f"the bytes of the request are not protobuf: wire type {kind} is not one of proto3, or is cut short"
    )


class Readers:
    """Chooses the deserializer of each method: looked over for those that carry tensors, small for all others."""

    def __init__(self, max_images: int) -> None:
        """Makes it for requests of up to `max_images` images."""
        self._max_images = max_images

    def __call__(self, method: str, parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        """Returns the deserializer of a method, given its full name and the deserializer of its generated code."""
        message = CARRY_TENSORS.get(method)
        if message is None:
            return small_reader(parse, method)
        return guarded_reader(parse, message, self._max_images)
