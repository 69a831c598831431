"""Answers the requests of one stream side by side, in order of completion."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Multiplexer(Generic[Request, Answer]):
    """One stream of requests and its answers."""

    def __init__(self, answer: Callable[[Request], Awaitable[Answer]], limit: int) -> None:
        """Makes it ready.

        Args:
            answer: Answers one request. It must not raise: an error is an answer too.
            limit: Requests worked on at a time; beyond that, none is read.
        """
        self._answer = answer
        self._room = asyncio.Semaphore(limit)
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()  # None ends it
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Task[None]
        self._reading = True

    async def run(self, requests: AsyncIterable[Request]) -> AsyncIterator[Answer]:
        """The answers. Ends when the requests have ended, or `close` was called, and all that was read is answered."""
        self._reader = asyncio.create_task(self._read(requests))
        try:
            while (answer := await self._answers.get()) is not None:
                yield answer
            await self._reader
        finally:
            for task in (self._reader, *self._tasks):
                task.cancel()

    def close(self) -> None:
        """Reads no more requests."""
        self._reader.cancel()

    async def _read(self, requests: AsyncIterable[Request]) -> None:
        try:
            async for request in requests:
                await self._room.acquire()
                task = asyncio.create_task(self._answer_one(request))
                self._tasks.add(task)
                task.add_done_callback(self._finish_one)
        except asyncio.CancelledError:
            pass  # closed; what was read is still answered
        finally:
            self._reading = False
            self._end_if_done()

    async def _answer_one(self, request: Request) -> None:
        self._answers.put_nowait(await self._answer(request))

    def _finish_one(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if not self._reading and not self._tasks:
            self._answers.put_nowait(None)
