"""Answers the requests of one stream side by side, in order of completion or of the requests."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from resprobe_server.errors import NotReady

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Multiplexer(Generic[Request, Answer]):
    """One stream of requests and its answers."""

    def __init__(self, answer: Callable[[Request], Coroutine[Any, Any, Answer]], limit: int, ordered: bool) -> None:
        """Makes it ready.

        Args:
            answer: Answers one request. It must not raise: an error is an answer too.
            limit: Requests that are worked on or wait for their turn at a time; beyond that, none is read.
            ordered: Whether answers come in the order of the requests; else each as soon as it is there.
        """
        self._answer, self._ordered = answer, ordered
        self._room = asyncio.Semaphore(limit)
        self._answers: asyncio.Queue[asyncio.Task[Answer] | None] = asyncio.Queue()  # None ends it
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._reader: asyncio.Task[None]
        self._reading = True

    async def run(self, requests: AsyncIterable[Request]) -> AsyncGenerator[Answer, None]:
        """The answers. Ends when the requests have ended, or `close` was called, and all that was read is answered."""
        self._reader = asyncio.create_task(self._read(requests))
        try:
            while (task := await self._answers.get()) is not None:
                yield await task
                self._room.release()
            await self._reader
        finally:
            for unfinished in (self._reader, *self._tasks):
                unfinished.cancel()

    def close(self) -> None:
        """Reads no more requests."""
        self._reader.cancel()

    async def _read(self, requests: AsyncIterable[Request]) -> None:
        try:
            async for request in requests:
                await self._room.acquire()
                task = asyncio.create_task(self._answer(request))
                self._tasks.add(task)
                task.add_done_callback(self._finish_one)
                if self._ordered:
                    self._answers.put_nowait(task)
        except asyncio.CancelledError:
            pass  # closed; what was read is still answered
        finally:
            self._reading = False
            self._end_if_done()

    def _finish_one(self, task: asyncio.Task[Answer]) -> None:
        self._tasks.discard(task)
        if not self._ordered:
            self._answers.put_nowait(task)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if not self._reading and not self._tasks:
            self._answers.put_nowait(None)


class Streams:
    """The open streams of a service, which end together when the server shuts down."""

    def __init__(self, limit: int) -> None:
        """Of streams with this limit; see Multiplexer."""
        self._limit = limit
        self._open: set[Multiplexer[Any, Any]] = set()
        self.draining = False

    async def run(
        self,
        answer: Callable[[Request], Coroutine[Any, Any, Answer]],
        requests: AsyncIterable[Request],
        ordered: bool = False,
    ) -> AsyncGenerator[Answer, None]:
        """The answers of a new stream; see Multiplexer.

        Raises:
            NotReady: The server is shutting down; all that was read is answered.
        """
        stream = Multiplexer(answer, self._limit, ordered)
        self._open.add(stream)
        try:
            async with aclosing(stream.run(requests)) as answers:
                async for one in answers:
                    yield one
        finally:
            self._open.discard(stream)
        if self.draining:
            raise NotReady("the server is shutting down; what it had read is answered")

    def close(self) -> None:
        """Reads no more requests."""
        self.draining = True
        for stream in self._open:
            stream.close()
