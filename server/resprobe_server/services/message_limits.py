"""Checks the bytes of a request before they are parsed, so that one message cannot hold up every client.

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

from resprobe_server.errors import InvalidRequest, NotFound, Unreadable, shorten

KIB, MIB = 1 << 10, 1 << 20
SMALL = 64 * KIB  # a message up to this size is parsed unchecked; also the maximum for methods without tensors
MAX_TEXT = 4 * KIB  # bytes of a name, an id or any other string in a large message
MAX_NUMBERS = 16 * MIB  # bytes of packed numbers in a large message
FIELDS_PER_IMAGE, MORE_FIELDS = 8, 4096  # an image as pixels is six fields
CARRY_TENSORS: Mapping[str, Descriptor] = {  # request messages of the methods with tensors, by their full names
    "resprobe.v1.ResidualService/Classify": resprobe_pb2.ClassifyRequest.DESCRIPTOR,
    "resprobe.v1.ResidualService/ClassifyStream": resprobe_pb2.ClassifyRequest.DESCRIPTOR,
    "inference.GRPCInferenceService/ModelInfer": open_inference_pb2.ModelInferRequest.DESCRIPTOR,
    "inference.GRPCInferenceService/ModelStreamInfer": open_inference_pb2.ModelInferRequest.DESCRIPTOR,
}
MODEL_FIELDS = frozenset({"model", "model_name", "version", "model_version"})
NEED = "no request within the limits needs more"
TOO_MANY_NUMBERS = (
    f"the message has more than {MAX_NUMBERS >> 20} MiB of values as numbers; send a tensor of that size as bytes, in "
    "raw_input_contents"
)
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types; groups (3 and 4) are not used in proto3
SKIP, TEXT, NUMBERS = "skip", "text", "numbers"


@dataclass(frozen=True, eq=False, slots=True)
class Schema:
    """Kinds of the length-delimited fields of a message.

    Attributes:
        fields: Kind of each field by its number: SKIP for bytes, TEXT for strings, NUMBERS for packed numbers, or the
            Schema of a submessage.
        names: Names of the fields, by number.
    """

    fields: Mapping[int, "str | Schema"]
    names: Mapping[int, str]


def schema_of(message: Descriptor) -> Schema:
    """Creates the schema of a message type that does not contain itself."""
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
    """Creates a deserializer that refuses more than 64 KiB, for a method whose requests carry no tensors.

    Raises:
        InvalidRequest: From the deserializer, for a message that is larger.
    """

    def read(data: bytes) -> Any:
        if len(data) > SMALL:
            raise InvalidRequest(f"the request has {len(data)} bytes; {method} accepts at most {SMALL}")
        return parse(data)

    return read


def guarded_reader(parse: Callable[[bytes], Any], message: Descriptor, max_images: int) -> Callable[[bytes], Any]:
    """Creates a deserializer that checks a message of more than 64 KiB before it is parsed.

    Args:
        parse: Deserializer of the generated code.
        message: Message that it reads.
        max_images: Maximum images in a request, from which the maximum number of fields follows.

    Raises:
        InvalidRequest: From the deserializer, for a message that no request within the limits needs.
        NotFound: From the deserializer, for a model's name of more than 4 KiB.
        Unreadable: From the deserializer, for bytes that are not protobuf.
    """
    schema, max_fields = schema_of(message), FIELDS_PER_IMAGE * max_images + MORE_FIELDS

    def read(data: bytes) -> Any:
        if len(data) > SMALL:
            check(data, schema, max_fields)
        return parse(data)

    return read


def check(data: bytes, schema: Schema, max_fields: int) -> None:
    """Walks the fields of a message, and of its submessages, up to a number of them.

    Args:
        data: Serialized message.
        schema: Schema of the message.
        max_fields: Maximum number of fields.

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
            if count > max_fields:
                raise InvalidRequest(f"the message has more than {max_fields} fields; {NEED}")
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
                if numbers > MAX_NUMBERS:
                    raise InvalidRequest(TOO_MANY_NUMBERS)
            elif inner is TEXT and size > MAX_TEXT:
                raise _too_long(schema.names[tag >> 3], data[begin : begin + MAX_TEXT], size)


def _too_long(name: str, text: bytes, size: int) -> InvalidRequest | NotFound:
    if name in MODEL_FIELDS:
        return NotFound(f"no model {shorten(repr(text.decode(errors='replace')), 100)}, a name of {size} bytes")
    return InvalidRequest(f"{name} has {size} bytes; expected at most {MAX_TEXT}", name)


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
    """Chooses the deserializer of each method: checked if its requests carry tensors, small otherwise."""

    def __init__(self, max_images: int) -> None:
        """Creates deserializers for requests of up to `max_images` images."""
        self._max_images = max_images

    def __call__(self, method: str, parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        """Returns the deserializer of a method, given its full name and the deserializer of its generated code."""
        message = CARRY_TENSORS.get(method)
        if message is None:
            return small_reader(parse, method)
        return guarded_reader(parse, message, self._max_images)
