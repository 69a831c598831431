"""Both clients behind one surface, so that a test is run against each; and a server whose responses a test decides."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
import resprobe
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import resprobe_pb2_grpc

from tests.support.servers import Loop

Connect = Callable[..., resprobe.Client]
SECONDS = 60  # for one call, at most
END = object()


class Blocking:
    """An AsyncClient on an event loop of its own, with the methods of Client."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._thread = Loop()
        self._client = self._wait(self._make(*arguments, **options))

    def __enter__(self) -> "Blocking":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._wait(self._client.close())
        self._thread.close()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            found = method(*arguments, **options)
            return self._iterate(found) if isinstance(found, AsyncIterator) else self._wait(found)

        return call

    async def _make(self, *arguments: Any, **options: Any) -> resprobe.AsyncClient:
        return resprobe.AsyncClient(*arguments, **options)

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._thread.loop).result(SECONDS)

    def _iterate(self, results: Any) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(results, END)

        try:
            while (result := self._wait(following())) is not END:
                yield result
        finally:
            self._wait(results.aclose())


class Scripted(resprobe_pb2_grpc.ResidualServiceServicer):
    """A service whose responses a test decides: it defines the methods that are called."""

    def Classify(self, request: pb.ClassifyRequest, context: Any) -> pb.ClassifyResponse:
        raise NotImplementedError

    def ClassifyStream(self, request_iterator: Any, context: Any) -> Any:
        raise NotImplementedError

    def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        raise NotImplementedError

    def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.Model:
        raise NotImplementedError


def scripted(servicer: Scripted) -> AbstractContextManager[str]:
    """Serves a servicer whose responses a test decides; yields the address."""
    return listening(lambda server: resprobe_pb2_grpc.add_ResidualServiceServicer_to_server(servicer, server))


@contextmanager
def listening(add: Callable[[grpc.Server], None]) -> Iterator[str]:
    """Serves what `add` adds to grpcio's own server; yields the address."""
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        add(server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait(SECONDS)
