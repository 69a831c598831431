"""Returns freed memory to the system after large requests and models; the C library keeps it otherwise.

Messages and pictures of tens of MiB arrive in gRPC's small buffers. When they are freed, they lie between buffers that
are still used, and stay resident (https://man7.org/linux/man-pages/man3/malloc_trim.3.html).
"""

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

EVERY = 2.0  # seconds between checks
GROWN = 16 << 20  # minimum growth in bytes: returning memory costs some milliseconds
CHECKS = 15  # checks after such a growth that return memory, since part of it may be in use for a while
TRIM: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
STATM, PAGE = Path("/proc/self/statm"), os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def giving_back(every: float = EVERY) -> AsyncIterator[None]:
    """Returns freed memory while the context is open, if the C library can (glibc)."""
    if TRIM is None:
        yield
        return
    task = asyncio.create_task(_check(every))
    try:
        yield
    finally:
        task.cancel()


def give_back() -> None:
    """Returns freed memory to the system now, if the C library can. Lasts some milliseconds."""
    if TRIM is not None:
        TRIM(0)  # ctypes lets other threads run


def resident() -> int:
    """Returns the resident size of this process in bytes."""
    return int(STATM.read_text().split()[1]) * PAGE


async def _check(every: float) -> None:
    last, left = resident(), 0
    while True:
        await asyncio.sleep(every)
        now = resident()
        if now > last + GROWN:
            left = CHECKS
        if left:
            left -= 1
            await asyncio.to_thread(give_back)
            now = resident()
        last = now
