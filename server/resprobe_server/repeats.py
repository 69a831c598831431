"""Requests that repeat an earlier one but for the contents of their tensor: only these are looked at again.

A client that sends images sends the same message each time, up to the pixels, which are its last field. A message that
begins with the same bytes as one that was read before and has the same length has the same fields; so the plan for it
is known, and its pixels are what follows. Requests with an id of their own repeat nothing, and are left out.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError
from resprobe_protos import open_inference_pb2 as pb

from resprobe_server.plan import Plan
from resprobe_server.session import Arrays

MOST = 256  # entries; then all are forgotten
LARGEST = 1 << 20  # bytes of contents: beyond, learning would hold gRPC's thread up, and parsing hardly matters
# A Repeat by what comes before the contents, and the length of that by the length of the whole message.
Memory: TypeAlias = dict[bytes | int, Any]


@dataclass(eq=False, slots=True)
class Repeat:
    """How messages are read that begin in a certain way.

    Attributes:
        plan: For all of them.
        name: Of their only input.
        shape: Of the input.
        dtype: Of the input.
        offset: Where its contents begin; they are the rest of the message.
    """

    plan: Plan
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    def inputs(self, data: bytes) -> Arrays:
        """The input of one of them, which is viewed."""
        return {self.name: np.ndarray(self.shape, self.dtype, data, self.offset)}


def find(memory: Memory, data: bytes) -> Repeat | None:
    """How to read a message; None: nothing like it was learned."""
    offset = memory.get(len(data))
    return None if offset is None else memory.get(data[:offset])


def learn(memory: Memory, data: bytes, request: pb.ModelInferRequest, inputs: Arrays, plan: Plan) -> None:
    """Remembers how a message was read.

    Args:
        memory: Where.
        data: The message.
        request: The same, parsed.
        inputs: Its only input, a view of its only raw contents.
        plan: For it.
    """
    ((name, array),) = inputs.items()
    offset = len(data) - array.nbytes
    if request.id or array.nbytes > LARGEST or memory.get(len(data), offset) != offset:
        return
    if not _ends(data[:offset], array.nbytes):
        return
    if len(memory) >= MOST:
        memory.clear()
    memory[len(data)] = offset
    memory[data[:offset]] = Repeat(plan, name, array.shape, array.dtype, offset)


def _ends(head: bytes, size: int) -> bool:
    """Whether so many bytes after this head are the raw contents of a request, whatever they are."""
    try:
        for contents in (bytes(size), b"\xff" * size):
            if pb.ModelInferRequest.FromString(head + contents).raw_input_contents != [contents]:
                return False
    except DecodeError:
        return False
    return True
