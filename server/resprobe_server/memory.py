"""Gives memory back to the system that was freed after something large: the C library keeps it otherwise.

Messages and pictures of tens of MiB come through gRPC's small buffers, so that what is freed of them lies among what is
still used, and stays resident (https://man7.org/linux/man-pages/man3/malloc_trim.3.html).
"""

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

EVERY = 2.0  # seconds between looks
GROWN = 16 << 20  # bytes of growth that are worth it: it takes some milliseconds
LOOKS = 15  # looks at which it is done after such a growth, since part of it may be in use for a while
STATM, PAGE = Path("/proc/self/statm"), os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def giving_back(every: float = EVERY) -> AsyncIterator[None]:
    """Gives freed memory back while the context is open, where the C library can (glibc)."""
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        yield
        return
    task = asyncio.create_task(_look(trim, every))
    try:
        yield
    finally:
        task.cancel()


def resident() -> int:
    """Returns the resident size of this process in bytes."""
    return int(STATM.read_text().split()[1]) * PAGE


async def _look(trim: Callable[[int], int], every: float) -> None:
    last, left = resident(), 0
    while True:
        await asyncio.sleep(every)
        now = resident()
        if now > last + GROWN:
            left = LOOKS
        if left:
            left -= 1
            await asyncio.to_thread(trim, 0)  # ctypes lets other threads run
            now = resident()
        last = now
