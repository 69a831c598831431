"""AsyncClient: the twin of Client for asyncio, with the same methods and arguments."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from functools import cached_property
from types import TracebackType
from typing import Literal, Self, TypeVar, Unpack, overload

import grpc
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import resprobe_pb2_grpc

from resprobe._base import IN_FLIGHT, BaseClient, ClassifyOptions, Deadline, StreamOptions, total
from resprobe._lesion_run import LesionRun
from resprobe._pictures.arrays import Layout
from resprobe._pictures.images import Images
from resprobe._pictures.ready import Place
from resprobe._progress import Progress, shown
from resprobe._results.counters import Counters
from resprobe._results.inspection import View
from resprobe._results.lesions import Lesions
from resprobe._results.model import Model
from resprobe._results.result import ProbedResult, Result
from resprobe._wire import counters, health
from resprobe._wire.channel import TIMEOUT, Endpoint
from resprobe._wire.requests import BlockScale, PreparedRequest, RequestOptions, model_request
from resprobe._wire.responses import read_model
from resprobe._wire.rollout import AsyncRollout
from resprobe.errors import ModelNotFound

Item = TypeVar("Item")


class AsyncClient(BaseClient[grpc.aio.Channel]):
    """Connection to a server for asyncio; Client documents the methods, which are coroutines here."""

    def _open(self, endpoint: Endpoint) -> grpc.aio.Channel:
        channel = endpoint.open_async()
        self._stub = resprobe_pb2_grpc.ResidualServiceStub(channel)
        return channel

    @cached_property
    def rollout(self) -> AsyncRollout:
        """Candidates of the server: new versions that are compared with those that serve."""
        return AsyncRollout(self._channel, self._calling)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection, as Client.close does."""
        self._closed = True
        await self._channel.close()

    async def health(self, model: str | None = None, *, timeout: float | None = TIMEOUT) -> health.ServingStatus:  # noqa: ASYNC109
        """Asks whether the server is serving, or one of its models, as Client.health does."""
        deadline, which = Deadline(timeout), model_request(model or "")
        check = self._channel.unary_unary(health.METHOD, health.Request.SerializeToString, health.Response.FromString)
        try:
            with self._calling():
                response = await check(health.Request(service=which.name), timeout=deadline.left())
        except ModelNotFound as error:  # the health service does not say what there is
            raise ModelNotFound(f"{self._address} serves no model {which.name!r}", status=error.status) from error
        if which.version:
            await self.model(which.name, which.version, timeout=deadline.left())
        return health.read_status(response)

    async def counters(self, *, timeout: float | None = TIMEOUT) -> list[Counters]:  # noqa: ASYNC109
        """Asks what each version has done since it was loaded, as Client.counters does."""
        ask = self._channel.unary_unary(
            counters.METHOD, counters.Request.SerializeToString, counters.Response.FromString
        )
        with self._calling():
            return counters.read_counters(await ask(counters.Request(), timeout=timeout))

    async def models(self, *, timeout: float | None = TIMEOUT) -> list[Model]:  # noqa: ASYNC109  # gRPC's own
        """Lists every model version that the server serves, as Client.models does."""
        with self._calling():
            response = await self._stub.ListModels(pb.ListModelsRequest(), timeout=timeout)
        return [read_model(message) for message in response.models]

    async def model(self, name: str = "", version: str | int = "", *, timeout: float | None = TIMEOUT) -> Model:  # noqa: ASYNC109
        """Describes one model version, as Client.model does."""
        request = model_request(name, version)
        with self._calling():
            return read_model(await self._stub.GetModel(request, timeout=timeout))

    @overload
    async def classify(
        self, images: Images, *, blocks: Literal[True], **options: Unpack[ClassifyOptions]
    ) -> ProbedResult: ...
    @overload
    async def classify(self, images: Images, *, blocks: bool = ..., **options: Unpack[ClassifyOptions]) -> Result: ...
    async def classify(
        self,
        images: Images,
        *,
        model: str = "",
        version: str | int = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        views: Sequence[View] = (),
        exit: float | None = None,
        layout: Layout = "nhwc",
        preprocess: Place = "server",
        request_id: str = "",
        timeout: float | None = TIMEOUT,  # noqa: ASYNC109
    ) -> Result:
        """Classifies images, as Client.classify does."""
        deadline = Deadline(timeout)
        options = RequestOptions(
            model, version, blocks, top_k, block_scale, layout, preprocess, None, views, request_id, exit
        )
        request = (await self._resolve(options, timeout)).prepare(images)
        return await self._ask(request, deadline.left())

    @overload
    def stream(
        self,
        batches: Iterable[Images] | AsyncIterable[Images],
        *,
        blocks: Literal[True],
        **options: Unpack[StreamOptions],
    ) -> AsyncIterator[ProbedResult]: ...
    @overload
    def stream(
        self,
        batches: Iterable[Images] | AsyncIterable[Images],
        *,
        blocks: bool = ...,
        **options: Unpack[StreamOptions],
    ) -> AsyncIterator[Result]: ...
    def stream(
        self,
        batches: Iterable[Images] | AsyncIterable[Images],
        *,
        model: str = "",
        version: str | int = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        views: Sequence[View] = (),
        exit: float | None = None,
        layout: Layout = "nhwc",
        preprocess: Place = "server",
        timeout: float | None = TIMEOUT,
        in_flight: int = IN_FLIGHT,
        progress: Progress = False,
    ) -> AsyncIterator[Result]:
        """Classifies many batches, as Client.stream does; they may come from an asynchronous iterable."""

        async def requests() -> AsyncIterator[PreparedRequest]:
            options = RequestOptions(
                model, version, blocks, top_k, block_scale, layout, preprocess, views=views, exit=exit
            )
            options = await self._resolve(options, timeout)
            async for images in _iterate(batches):
                yield options.prepare(images)

        return self._stream(requests(), timeout, in_flight, progress, total(batches))

    async def lesions(
        self,
        images: Images,
        labels: npt.ArrayLike,
        *,
        classes: Sequence[str] | None = None,
        model: str = "",
        version: str | int = "",
        random: Sequence[int] = (),
        draws: int = 5,
        seed: int = 0,
        layout: Layout = "nhwc",
        progress: bool | Callable[[int, int], object] = False,
        timeout: float | None = TIMEOUT,  # noqa: ASYNC109
        in_flight: int = IN_FLIGHT,
    ) -> Lesions:
        """Removes every single block, and some numbers of random blocks, as Client.lesions does."""
        described = await self.model(model, version, timeout=timeout)
        run = LesionRun(described, images, labels, classes, random, draws, seed, layout)
        requests = _iterate(run.requests())
        async for result in self._stream(requests, timeout, in_flight, progress, run.total):
            run.add(result)
        return run.finish()

    async def _resolve(self, options: RequestOptions, timeout: float | None) -> RequestOptions:  # noqa: ASYNC109
        if not options.needs_description:
            return options
        return options.resolve(await self.model(options.model, options.version, timeout=timeout))

    async def _stream(
        self,
        requests: AsyncIterable[PreparedRequest],
        timeout: float | None,  # noqa: ASYNC109
        in_flight: int,
        progress: Progress | Callable[[int, int], object],
        images: int | None,
    ) -> AsyncIterator[Result]:
        waiting: deque[asyncio.Task[Result]] = deque()
        done = 0
        with shown(progress, "images") as report:
            try:
                async for request in _and_none(requests):
                    if request is not None:
                        waiting.append(asyncio.create_task(self._ask(request, timeout)))
                    while waiting and (request is None or len(waiting) >= in_flight):
                        result = await waiting.popleft()
                        done += len(result)
                        report(done, images)
                        yield result
            finally:
                for task in waiting:
                    task.cancel()

    async def _ask(self, request: PreparedRequest, timeout: float | None) -> Result:  # noqa: ASYNC109
        with self._calling(request.sources):
            response = await self._stub.Classify(self._ready(request), timeout=timeout)
        return self._read(response, request)


async def _iterate(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def _and_none(items: AsyncIterable[Item]) -> AsyncIterator[Item | None]:
    async for item in items:
        yield item
    yield None
