"""Client and AsyncClient: the same surface, once blocking and once not. All that does no I/O is shared above them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import resprobe_pb2_grpc

from resprobe.channel import Endpoint, FilePath
from resprobe.images import Encoded, Images, Pixels, collect
from resprobe.result import Model, Result, read_model, read_result
from resprobe.status import raise_error

TIMEOUT = 30.0  # seconds for a request
IN_FLIGHT = 4  # requests of a stream that are under way at a time
BlockScale = npt.ArrayLike


@dataclass(frozen=True)
class _Call:
    """A request that is ready to be sent, and what its images are called in errors."""

    message: pb.ClassifyRequest
    sources: list[str]


@dataclass(frozen=True)
class _Options:
    """What `classify` and `stream` take beside the images."""

    model: str
    version: str
    blocks: bool
    top_k: int
    block_scale: BlockScale | None

    def call(self, images: Images) -> _Call:
        """The request for these images. Raises InvalidImage or InvalidRequest."""
        sources = collect(images)
        scale = () if self.block_scale is None else np.asarray(self.block_scale, np.float32).ravel().tolist()
        message = pb.ClassifyRequest(
            model=self.model,
            version=self.version,
            images=[_image(source) for source in sources],
            top_k=self.top_k,
            view=pb.VIEW_BLOCKS if self.blocks else pb.VIEW_BASIC,
            block_scale=scale,
        )
        return _Call(message, [source.source for source in sources])


def _image(source: Encoded | Pixels) -> pb.Image:
    if isinstance(source, Encoded):
        return pb.Image(encoded=source.data)
    pixels = pb.Pixels(height=source.height, width=source.width, channels=source.channels, data=source.data)
    return pb.Image(pixels=pixels)


class Client:
    """A connection to a server. Use it as a context, or call `close`. Threads may share it."""

    def __init__(
        self,
        address: str = "localhost:50051",
        *,
        tls: bool = False,
        ca: FilePath | None = None,
        certificate: tuple[FilePath, FilePath] | None = None,
        token: str | None = None,
    ) -> None:
        """Connects when the first request is sent.

        Args:
            address: HOST:PORT.
            tls: Encrypt, and check the server's certificate against the authorities that come with gRPC.
            ca: PEM file of the authorities to check it against instead. Implies TLS.
            certificate: PEM files of this caller's own certificate and its key, for mutual TLS. Implies TLS.
            token: Sent with every request; over plaintext only where it stays on this machine.

        Raises:
            InvalidRequest: A file cannot be read, or the token would cross the network in plaintext.
        """
        self._address = address
        self._channel = Endpoint(address, tls, ca, certificate, token).open()
        self._stub = resprobe_pb2_grpc.ResidualServiceStub(self._channel)
        self._models: dict[tuple[str, str], Model] = {}

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def models(self, *, timeout: float | None = TIMEOUT) -> list[Model]:
        """Every model version that the server serves, by name and version."""
        try:
            response = self._stub.ListModels(pb.ListModelsRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise_error(error, self._address)
        return [read_model(message) for message in response.models]

    def model(self, name: str = "", version: str = "", *, timeout: float | None = TIMEOUT) -> Model:
        """One model version; empty: the only model there is, and its default version."""
        try:
            return read_model(self._stub.GetModel(pb.GetModelRequest(name=name, version=version), timeout=timeout))
        except grpc.RpcError as error:
            raise_error(error, self._address)

    def classify(
        self,
        images: Images,
        *,
        model: str = "",
        version: str = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        timeout: float | None = TIMEOUT,
    ) -> Result:
        """Classifies images.

        Args:
            images: uint8 array [n, height, width, channels] or [height, width, channels], a path, a PIL image, the
                bytes of a JPEG, PNG or WebP file, or a list of these. Images of another size than the model's are
                resized by the server.
            model: Name; empty: the only one there is.
            version: Empty: the default.
            blocks: Whether to return the statistics of every residual block.
            top_k: Classes to return for each image, at least 1; more than there are means all.
            block_scale: Factor on the branch of each block, [blocks] or [n, blocks]: 1 intact, 0 removed.
            timeout: Seconds; None: no limit.

        Raises:
            Error: See the tree in resprobe.errors.
        """
        call = _Options(model, version, blocks, top_k, block_scale).call(images)
        return self._receive(self._stub.Classify.future(call.message, timeout=timeout), call, blocks)

    def stream(
        self,
        batches: Iterable[Images],
        *,
        model: str = "",
        version: str = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        timeout: float | None = TIMEOUT,
        in_flight: int = IN_FLIGHT,
    ) -> Iterator[Result]:
        """Classifies a data set: one request for each batch, several at a time, results in the order of the batches.

        Each request is sent again by itself if the server was unavailable for a moment.

        Args:
            batches: Each is what `classify` takes; taken as results are consumed.
            model: As in `classify`, like all that follow.
            version: …
            blocks: …
            top_k: …
            block_scale: …
            timeout: Of one request.
            in_flight: Requests under way at a time.
        """
        options = _Options(model, version, blocks, top_k, block_scale)
        waiting: deque[tuple[Any, _Call]] = deque()
        try:
            for images in batches:
                call = options.call(images)
                waiting.append((self._stub.Classify.future(call.message, timeout=timeout), call))
                if len(waiting) >= in_flight:
                    yield self._receive(*waiting.popleft(), blocks)
            while waiting:
                yield self._receive(*waiting.popleft(), blocks)
        finally:
            for future, _ in waiting:
                future.cancel()

    def _receive(self, future: Any, call: _Call, blocks: bool) -> Result:
        try:
            response: pb.ClassifyResponse = future.result()
        except grpc.RpcError as error:
            raise_error(error, self._address, call.sources)
        return read_result(response, self._describe(response.model, response.version) if blocks else None)

    def _describe(self, name: str, version: str) -> Model:
        """Descriptions do not change, so each is fetched once."""
        if (name, version) not in self._models:
            self._models[name, version] = self.model(name, version)
        return self._models[name, version]


class AsyncClient:
    """The twin of Client for asyncio; see there."""

    def __init__(
        self,
        address: str = "localhost:50051",
        *,
        tls: bool = False,
        ca: FilePath | None = None,
        certificate: tuple[FilePath, FilePath] | None = None,
        token: str | None = None,
    ) -> None:
        """See Client."""
        self._address = address
        self._channel = Endpoint(address, tls, ca, certificate, token).open_async()
        self._stub = resprobe_pb2_grpc.ResidualServiceStub(self._channel)
        self._models: dict[tuple[str, str], Model] = {}

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """See Client.close."""
        await self._channel.close()

    async def models(self, *, timeout: float | None = TIMEOUT) -> list[Model]:  # noqa: ASYNC109  # gRPC's own
        """See Client.models."""
        try:
            response = await self._stub.ListModels(pb.ListModelsRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise_error(error, self._address)
        return [read_model(message) for message in response.models]

    async def model(self, name: str = "", version: str = "", *, timeout: float | None = TIMEOUT) -> Model:  # noqa: ASYNC109
        """See Client.model."""
        try:
            return read_model(
                await self._stub.GetModel(pb.GetModelRequest(name=name, version=version), timeout=timeout)
            )
        except grpc.RpcError as error:
            raise_error(error, self._address)

    async def classify(
        self,
        images: Images,
        *,
        model: str = "",
        version: str = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        timeout: float | None = TIMEOUT,  # noqa: ASYNC109
    ) -> Result:
        """See Client.classify."""
        call = _Options(model, version, blocks, top_k, block_scale).call(images)
        return await self._receive(self._stub.Classify(call.message, timeout=timeout), call, blocks)

    async def stream(
        self,
        batches: Iterable[Images] | AsyncIterable[Images],
        *,
        model: str = "",
        version: str = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        timeout: float | None = TIMEOUT,  # noqa: ASYNC109
        in_flight: int = IN_FLIGHT,
    ) -> AsyncIterator[Result]:
        """See Client.stream; the batches may come from an asynchronous iterable."""
        options = _Options(model, version, blocks, top_k, block_scale)
        waiting: deque[asyncio.Task[Result]] = deque()
        try:
            async for images in _iterate(batches):
                call = options.call(images)
                answer = self._receive(self._stub.Classify(call.message, timeout=timeout), call, blocks)
                waiting.append(asyncio.create_task(answer))
                if len(waiting) >= in_flight:
                    yield await waiting.popleft()
            while waiting:
                yield await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()

    async def _receive(self, future: Any, call: _Call, blocks: bool) -> Result:
        try:
            response: pb.ClassifyResponse = await future
        except grpc.RpcError as error:
            raise_error(error, self._address, call.sources)
        return read_result(response, await self._describe(response.model, response.version) if blocks else None)

    async def _describe(self, name: str, version: str) -> Model:
        if (name, version) not in self._models:
            self._models[name, version] = await self.model(name, version)
        return self._models[name, version]


async def _iterate(batches: Iterable[Images] | AsyncIterable[Images]) -> AsyncIterator[Images]:
    if isinstance(batches, AsyncIterable):
        async for images in batches:
            yield images
    else:
        for images in batches:
            yield images
