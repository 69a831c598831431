"""How requests are answered that differ from an earlier one in the values of their only tensor.

A client that sends images sends the same message each time, up to the pixels, and nothing after them. Of a message that
begins with the same bytes as an earlier one, up to and with the length of the values, and ends where the values end,
everything but the values is known: the rest of a protobuf message is a function of exactly these bytes. It is worth a
fifth of the rate where the net is tiny (benchmarks/README.md).

The cache holds no answers and decides nothing: rights and deadlines are asked for with each request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

MOST_ENTRIES = 256
LONGEST_HEAD = 4096  # bytes
MOST_OFFSETS = 4  # heads of different lengths among messages of one length
LARGEST = 1 << 20  # bytes of values; parsing hardly matters beyond, and learning would take long
Known = TypeVar("Known")


@dataclass(frozen=True, slots=True)
class Entry(Generic[Known]):
    """What is known of messages with one head: `known`, and the shape and dtype of the values after the head."""

    known: Known
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    def tensor(self, data: bytes) -> npt.NDArray[Any]:
        """Returns a view of the values of a message with this head."""
        return np.ndarray(self.shape, self.dtype, data, self.offset)


class RequestCache(Generic[Known]):
    """A bounded number of entries, the oldest of which makes room for a new one. For one thread."""

    def __init__(self, contents: Callable[[bytes], list[bytes]]) -> None:
        """Makes an empty cache. `contents` reads the values of all tensors of a message, and may raise DecodeError."""
        self._contents = contents
        self._entries: dict[tuple[int, bytes], Entry[Known]] = {}  # by the length of the message and its head
        self._offsets: dict[int, list[int]] = {}  # lengths of heads, by the length of the message

    def __len__(self) -> int:
        """Returns the number of entries."""
        return len(self._entries)

    def find(self, data: bytes) -> Entry[Known] | None:
        """Returns what is known of a message; None if no message with its head and length was learned."""
        size = len(data)
        for offset in self._offsets.get(size, ()):
            entry = self._entries.get((size, data[:offset]))
            if entry is not None:
                return entry
        return None

    def learn(self, data: bytes, tensor: npt.NDArray[Any], known: Known) -> None:
        """Adds an entry, if the message ends with the values of its only tensor and its head is not known yet.

        Args:
            data: A message that was parsed and admitted.
            tensor: Its only tensor.
            known: What follows from all of the message but the values.
        """
        size, offset = len(data), len(data) - tensor.nbytes
        if not 0 < offset <= LONGEST_HEAD or not 0 < tensor.nbytes <= LARGEST:
            return
        key, offsets = (size, data[:offset]), self._offsets.get(size, [])
        if key in self._entries or (offset not in offsets and len(offsets) >= MOST_OFFSETS):
            return
        if not self._ends_with_values(data[:offset], tensor.nbytes):
            return
        if len(self._entries) >= MOST_ENTRIES:
            self._forget_oldest()
        self._entries[key] = Entry(known, tensor.shape, tensor.dtype, offset)
        offsets = self._offsets.setdefault(size, [])
        if offset not in offsets:
            offsets.append(offset)

    def _ends_with_values(self, head: bytes, size: int) -> bool:
        """Tells whether any `size` bytes after this head are the values and complete the message."""
        try:
            return all(self._contents(head + other) == [other] for other in (bytes(size), b"\xff" * size))
        except DecodeError:
            return False

    def _forget_oldest(self) -> None:
        size, head = next(iter(self._entries))
        del self._entries[size, head]
        if not any(key[0] == size and len(key[1]) == len(head) for key in self._entries):
            self._offsets[size].remove(len(head))
            if not self._offsets[size]:
                del self._offsets[size]
