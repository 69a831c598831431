"""Requests that repeat an earlier one but for the contents of their tensor: only these are looked at again.

A client that sends images sends the same message each time, up to the pixels, and little or nothing after them. Of a
message that begins with the same bytes as one that was read before, up to and with the length of the pixels, all that
was worked out of these bytes is known; its pixels come next. What follows is a message by itself: protobuf merges what
is read of the parts of a message (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

MOST = 256  # entries; then all are forgotten
LARGEST = 1 << 20  # bytes of contents: beyond, learning would hold gRPC's thread up, and parsing hardly matters
# A Repeat by what comes before the contents, and the length of that by the length of the whole message.
Memory: TypeAlias = dict[bytes | int, Any]


@dataclass(eq=False, slots=True)
class Repeat:
    """How messages are read that begin in a certain way.

    Attributes:
        known: What was worked out of their beginning.
        shape: Of their only tensor.
        dtype: Of the tensor.
        offset: Where its contents begin.
        end: Where they end.
    """

    known: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    end: int

    def tensor(self, data: bytes) -> npt.NDArray[Any]:
        """The tensor of one of them, which is viewed."""
        return np.ndarray(self.shape, self.dtype, data, self.offset)


def memory(derived: dict[Any, Any], kind: type) -> Memory:
    """Where it is remembered how messages of this kind are read. `derived`: see Models."""
    found: Memory = derived.setdefault(kind, {})
    return found


def find(memory: Memory, data: bytes) -> Repeat | None:
    """How to read a message; None: nothing like it was learned."""
    offset = memory.get(len(data))
    return None if offset is None else memory.get(data[:offset])


def learn(
    memory: Memory, data: bytes, tensor: npt.NDArray[Any], known: Any, contents: Callable[[bytes], list[bytes]]
) -> None:
    """Remembers how a message was read.

    Args:
        memory: Where.
        data: The message.
        tensor: Its only one.
        known: What was worked out of the message, and does not depend on the contents and on what comes after them.
        contents: Reads the contents of all tensors of a message, and may raise DecodeError.
    """
    size = tensor.nbytes
    offset = -1 if size > LARGEST else data.find(tensor.tobytes())
    if offset < 0 or memory.get(len(data), offset) != offset or not _leads(data[:offset], size, contents):
        return
    if len(memory) >= MOST:
        memory.clear()
    memory[len(data)] = offset
    memory[data[:offset]] = Repeat(known, tensor.shape, tensor.dtype, offset, offset + size)


def _leads(head: bytes, size: int, contents: Callable[[bytes], list[bytes]]) -> bool:
    """Whether so many bytes after this head are the contents, whatever they are, and complete the message."""
    try:
        return all(contents(head + other) == [other] for other in (bytes(size), b"\xff" * size))
    except DecodeError:
        return False
