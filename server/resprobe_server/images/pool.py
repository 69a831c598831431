"""Decodes the pictures of requests: small ones in threads, large ones in processes, a few of each request at a time.

So a request of many pictures does not hold up other requests, and a picture that takes long holds no lock of the server
and is given up after a time.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from resprobe._pictures.images import Encoded, Fitted, Pixels

from resprobe_server.config import Config
from resprobe_server.errors import Expired, InvalidRequest, QueueFull
from resprobe_server.images.decode import convert, decode, resized_pixels
from resprobe_server.images.files import SMALL_PIXELS, open_picture
from resprobe_server.images.format import Decoded, Format
from resprobe_server.images.worker import Workers
from resprobe_server.scheduling.budget import Budget

Image = Encoded | Pixels
T = TypeVar("T")
AT_ONCE = 8  # pictures of a request that a thread decodes before it turns to other requests
FIRST_GUESS = 0.2  # seconds for a large picture


class Decoders:
    """Threads and processes that decode pictures and convert tensors. Its methods are called on the event loop.

    Attributes:
        threads: Threads for short work.
        budget: Bytes that are being decoded or converted.
    """

    def __init__(self, threads: Executor, config: Config) -> None:
        """Creates the decoders; `threads` do short work, and the limits are the configuration's."""
        self.threads, self._config = threads, config
        self._workers = Workers(config.decode_seconds)
        self._large = ThreadPoolExecutor(config.decode_threads, "large pictures")  # each waits for its process
        self._slots = asyncio.Semaphore(config.decode_threads)
        self.budget = Budget(config.decode_bytes, "of pictures and tensors are being decoded")
        self._large_waiting = 0  # large pictures that were not decoded yet

    def close(self) -> None:
        """Gives up the pictures that are being decoded."""
        self._large.shutdown(wait=False, cancel_futures=True)
        self._workers.close()

    async def decode(self, images: Sequence[Image], wanted: Format, deadline: float = math.inf) -> Decoded:
        """Decodes the images of a request.

        Args:
            images: Images, at least one.
            wanted: Format that the model takes.
            deadline: Deadline on the clock of time.monotonic.

        Raises:
            InvalidRequest: An image is not a picture, is damaged, or is too large, alone or with the others.
            QueueFull: Too many bytes are being decoded for other requests.
            Expired: The deadline passed.
        """
        with self.budget.holding(sum(len(image.data) for image in images), FIRST_GUESS):
            return await _Request(self, self._config, images, wanted, deadline).run()

    async def convert(self, work: Callable[[], T], size: int) -> T:
        """Runs short work on a tensor of `size` bytes in a thread. Raises QueueFull, and the errors of the work."""
        with self.budget.holding(size, FIRST_GUESS):
            return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    async def decode_large(self, image: Image, wanted: Format) -> Fitted:
        """Decodes a large picture in a process, with the errors of `decode`."""
        if self._large_waiting >= self._config.max_large_pictures:
            delay = FIRST_GUESS * self._large_waiting
            raise QueueFull(f"{self._large_waiting} large pictures are waiting to be decoded; try again later", delay)
        self._large_waiting += 1
        try:
            await self._slots.acquire()  # a request that is cancelled here leaves nothing in a queue
        except asyncio.CancelledError:
            self._large_waiting -= 1
            raise
        arguments = image, wanted, self._config.pixel_limit
        job = asyncio.get_running_loop().run_in_executor(self._large, self._workers.decode, *arguments)
        job.add_done_callback(self._large_done)
        return await asyncio.shield(
            job
        )  # it is decoded to its end even if the request is cancelled, and counts until then

    def _large_done(self, job: "asyncio.Future[Fitted]") -> None:
        self._large_waiting -= 1
        self._slots.release()
        if not job.cancelled():
            job.exception()  # marks it as seen, for the request may have been cancelled


class _Request:
    """Images of one request while they are decoded."""

    def __init__(
        self, decoders: Decoders, config: Config, images: Sequence[Image], wanted: Format, deadline: float
    ) -> None:
        self._decoders, self._images, self._wanted, self._deadline = decoders, images, wanted, deadline
        self._rows: list[Fitted | None] = [None] * len(images)
        self._pixels, self._max_request_pixels = 0, config.request_pixel_limit
        self._max_pixels, self._side_by_side = config.pixel_limit, config.decode_threads

    async def run(self) -> Decoded:
        """Decodes the images, in a few threads at a time."""
        starts = iter(range(0, len(self._images), AT_ONCE))
        lines = [asyncio.ensure_future(self._line(starts)) for _ in range(self._side_by_side)]
        try:
            await asyncio.gather(*lines)
        except BaseException:
            for line in lines:
                line.cancel()
            raise
        rows = [row for row in self._rows if row is not None]
        return Decoded(np.stack([row.pixels for row in rows]), [row.resized_from for row in rows])

    async def _line(self, starts: Iterator[int]) -> None:
        loop = asyncio.get_running_loop()
        for start in starts:
            indices = range(start, min(start + AT_ONCE, len(self._images)))
            for index in await loop.run_in_executor(self._decoders.threads, self._decode_small, indices):
                self._check_deadline()
                self._rows[index] = await self._decoders.decode_large(self._images[index], self._wanted)

    def _decode_small(self, indices: Sequence[int]) -> list[int]:
        """Decodes the small images among these. Returns the indices of the large ones."""
        large = []
        for index in indices:
            self._check_deadline()
            image = self._images[index]
            if isinstance(image, Pixels):
                self._rows[index] = decode(image, self._wanted, self._max_pixels)
                continue
            opened = open_picture(image, self._max_pixels)
            self._pixels += opened.pixels
            if self._pixels > self._max_request_pixels:
                raise InvalidRequest(
                    f"the pictures of the request have more than {self._max_request_pixels / 1e6:g} megapixels: "
                    "send them smaller, or in several requests",
                    image.source,
                )
            if opened.is_small and resized_pixels(opened.picture, self._wanted) <= SMALL_PIXELS:
                self._rows[index] = convert(opened.picture, self._wanted, image.source, self._max_pixels)
            else:
                large.append(index)
        return large

    def _check_deadline(self) -> None:
        if time.monotonic() >= self._deadline:
            raise Expired("the deadline passed while the images were decoded")
