"""Cache of how requests are answered that differ from an earlier one in the values of their only tensor.

A client that sends images sends the same message each time, up to the pixels, and nothing after them. If a message
begins with the same bytes as an earlier one, up to and including the length of the values, and ends where the values
end, everything but the values is known: the rest of a protobuf message is a function of exactly these bytes. It saves a
fifth of the time where the net is tiny (benchmarks/README.md).

The cache holds no answers and decides nothing: rights and deadlines are checked with each request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

MAX_ENTRIES = 256
MAX_HEAD = 4096  # bytes
MAX_OFFSETS = 4  # heads of different lengths among messages of one length
MAX_VALUES = 1 << 20  # bytes of values; parsing hardly matters beyond, and learning would take long
Known = TypeVar("Known")


@dataclass(frozen=True, slots=True)
class Entry(Generic[Known]):
    """Knowledge of the messages with one head.

    Attributes:
        known: Value that was learned for them.
        shape: Shape of the values after the head.
        dtype: NumPy's type of the values.
        offset: Length of the head.
    """

    known: Known
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    def tensor(self, data: bytes) -> npt.NDArray[Any]:
        """Returns a view of the values of a message with this head."""
        return np.ndarray(self.shape, self.dtype, data, self.offset)


class RequestCache(Generic[Known]):
    """Cache with a bounded number of entries; a new one replaces the oldest. Used by one thread at a time."""

    def __init__(self, contents: Callable[[bytes], list[bytes]]) -> None:
        """Creates an empty cache. `contents` reads the values of all tensors of a message; it may raise DecodeError."""
        self._contents = contents
        self._entries: dict[tuple[int, bytes], Entry[Known]] = {}  # by the length of the message and its head
        self._offsets: dict[int, list[int]] = {}  # lengths of heads, by the length of the message

    def __len__(self) -> int:
        """Returns the number of entries."""
        return len(self._entries)

    def find(self, data: bytes) -> Entry[Known] | None:
        """Returns the entry of a message. If None, no message with its head and length was learned."""
        size = len(data)
        for offset in self._offsets.get(size, ()):
            entry = self._entries.get((size, data[:offset]))
            if entry is not None:
                return entry
        return None

    def learn(self, data: bytes, tensor: npt.NDArray[Any], known: Known) -> None:
        """Adds an entry, if the message ends with the values of its only tensor and its head is not known yet.

        Args:
            data: Message that was parsed and admitted.
            tensor: Only tensor of the message.
            known: Value that follows from all of the message but the values of the tensor.
        """
        size, offset = len(data), len(data) - tensor.nbytes
        if not 0 < offset <= MAX_HEAD or not 0 < tensor.nbytes <= MAX_VALUES:
            return
        key, offsets = (size, data[:offset]), self._offsets.get(size, [])
        if key in self._entries or (offset not in offsets and len(offsets) >= MAX_OFFSETS):
            return
        if not self._ends_with_values(data[:offset], tensor.nbytes):
            return
        if len(self._entries) >= MAX_ENTRIES:
            self._forget_oldest()
        self._entries[key] = Entry(known, tensor.shape, tensor.dtype, offset)
        offsets = self._offsets.setdefault(size, [])
        if offset not in offsets:
            offsets.append(offset)

    def _ends_with_values(self, head: bytes, size: int) -> bool:
        """Returns whether any `size` bytes after this head are the values and complete the message."""
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
