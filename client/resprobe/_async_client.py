"""AsyncClient: the same surface as Client, for asyncio."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import grpc
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import resprobe_pb2_grpc

from resprobe._client import IN_FLIGHT, TIMEOUT
from resprobe._lesions import Experiment, Lesions
from resprobe._pictures.images import Images
from resprobe._wire.address import default
from resprobe._wire.channel import ClosedStub, Connected, Endpoint, FilePath
from resprobe._wire.requests import BlockScale, Call, Options, factors, model_request
from resprobe._wire.responses import Model, Result, read_model, read_result
from resprobe._wire.status import raise_error

Item = TypeVar("Item")


class AsyncClient(Connected):
    """The twin of Client for asyncio; see there."""

    def __init__(
        self,
        address: str | None = None,
        *,
        tls: bool = False,
        ca: FilePath | None = None,
        certificate: tuple[FilePath, FilePath] | None = None,
        token: str | None = None,
    ) -> None:
        """Connects to a server, with the arguments of Client."""
        self._address = default() if address is None else address
        self._channel = Endpoint(self._address, tls, ca, certificate, token).open_async()
        self._stub: Any = resprobe_pb2_grpc.ResidualServiceStub(self._channel)
        self._models: dict[tuple[str, str], Model] = {}

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection, as Client.close does."""
        self._stub = ClosedStub()
        await self._channel.close()

    async def models(self, *, timeout: float | None = TIMEOUT) -> list[Model]:  # noqa: ASYNC109  # gRPC's own
        """Returns the models that the server serves, as Client.models does."""
        try:
            response = await self._stub.ListModels(pb.ListModelsRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise_error(error, self._address)
        return [read_model(message) for message in response.models]

    async def model(self, name: str = "", version: str | int = "", *, timeout: float | None = TIMEOUT) -> Model:  # noqa: ASYNC109
        """Returns the description of a model, as Client.model does."""
        try:
            return read_model(await self._stub.GetModel(model_request(name, version), timeout=timeout))
        except grpc.RpcError as error:
            raise_error(error, self._address)

    async def classify(
        self,
        images: Images,
        *,
        model: str = "",
        version: str | int = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        timeout: float | None = TIMEOUT,  # noqa: ASYNC109
    ) -> Result:
        """Classifies images, with the arguments of Client.classify."""
        call = (await self._options(model, version, blocks, top_k, block_scale, timeout)).call(images)
        return await self._receive(self._stub.Classify(call.message, timeout=timeout), call, blocks)

    def stream(
        self,
        batches: Iterable[Images] | AsyncIterable[Images],
        *,
        model: str = "",
        version: str | int = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        timeout: float | None = TIMEOUT,
        in_flight: int = IN_FLIGHT,
    ) -> AsyncIterator[Result]:
        """Yields results batch by batch, as Client.stream does; the batches may come from an asynchronous iterable."""

        async def calls() -> AsyncIterator[Call]:
            options = await self._options(model, version, blocks, top_k, block_scale, timeout)
            async for images in _iterate(batches):
                yield options.call(images)

        return self._stream(calls(), blocks, timeout, in_flight)

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
        report: Callable[[int, int], None] | None = None,
        timeout: float | None = TIMEOUT,  # noqa: ASYNC109
        in_flight: int = IN_FLIGHT,
    ) -> Lesions:
        """Measures what the net loses without its blocks, with the arguments of Client.lesions."""
        described = await self.model(model, version, timeout=timeout)
        experiment = Experiment(described, images, labels, random, draws, seed, classes)
        async for result in self._stream(_iterate(experiment.calls()), False, timeout, in_flight):
            experiment.add(result)
            if report is not None:
                report(experiment.done, experiment.total)
        return experiment.finish()

    async def _options(
        self,
        model: str,
        version: str | int,
        blocks: bool,
        top_k: int,
        scale: BlockScale | None,
        timeout: float | None,  # noqa: ASYNC109
    ) -> Options:
        if isinstance(scale, Mapping):
            described = await self.model(model, version, timeout=timeout)
            model, version, scale = described.name, described.version, factors(scale, described)
        return Options(model, version, blocks, top_k, scale)

    async def _stream(
        self,
        calls: AsyncIterable[Call],
        blocks: bool,
        timeout: float | None,  # noqa: ASYNC109
        in_flight: int,
    ) -> AsyncIterator[Result]:
        waiting: deque[asyncio.Task[Result]] = deque()
        try:
            async for call in calls:
                answer = self._receive(self._stub.Classify(call.message, timeout=timeout), call, blocks)
                waiting.append(asyncio.create_task(answer))
                if len(waiting) >= in_flight:
                    yield await waiting.popleft()
            while waiting:
                yield await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()

    async def _receive(self, future: Any, call: Call, blocks: bool) -> Result:
        try:
            response: pb.ClassifyResponse = await future
        except grpc.RpcError as error:
            raise_error(error, self._address, call.sources)
        return read_result(response, await self._describe(response.model, response.version) if blocks else None)

    async def _describe(self, name: str, version: str) -> Model:
        if (name, version) not in self._models:
            self._models[name, version] = await self.model(name, version)
        return self._models[name, version]


async def _iterate(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
