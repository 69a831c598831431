"""Freed memory is returned to the system, and refused clients do not fill the log."""

import asyncio
import ctypes

import pytest
from resprobe_server.memory import giving_back, resident
from resprobe_server.rpc.status import LineLimit

MIB = 1 << 20
BLOCK = 64 << 10  # bytes: below the size that the C library maps apart


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library cannot give memory back")
def test_freed_memory_is_given_back() -> None:
    async def drive() -> tuple[int, int]:
        library = ctypes.CDLL(None)
        library.malloc.restype = ctypes.c_void_p
        library.free.argtypes = [ctypes.c_void_p]
        library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
        async with giving_back(every=0.01):
            await asyncio.sleep(0)
            before = resident()
            blocks = [library.malloc(BLOCK) for _ in range(200 * MIB // BLOCK)]
            for block in blocks:
                library.memset(block, 1, BLOCK)
            for _ in range(200):  # so that it was seen while it was in use
                await asyncio.to_thread(int)
            for block in blocks[:-1]:  # the last keeps the heap from shrinking by itself
                library.free(block)
            while resident() > before + 50 * MIB:
                await asyncio.to_thread(int)
            library.free(blocks[-1])
            return before, resident()

    before, after = asyncio.run(asyncio.wait_for(drive(), 60))
    assert after < before + 50 * MIB


def test_the_lines_of_a_second_are_bounded_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("resprobe_server.rpc.status.time.monotonic", lambda: now)
    limit = LineLimit(3)
    assert [limit.take() for _ in range(5)] == [0, 0, 0, None, None]
    now = 101.0
    assert [limit.take() for _ in range(2)] == [2, 0]
