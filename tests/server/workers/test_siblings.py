"""Calls that change a server reach all workers in one order; one that does not follow is reported, a new one adopts."""

import resprobe_server  # isort: skip  # noqa: F401  # first: it says how gRPC reads from connections
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos import open_inference_pb2_grpc as oip
from resprobe_server.errors import NotFound
from resprobe_server.rpc.server import Server
from resprobe_server.workers.place import Place
from resprobe_server.workers.siblings import Siblings


class Worker:
    """A worker whose state is the list of models that were unloaded; it refuses some of them."""

    def __init__(self, folder: Path, index: int, *refused: str) -> None:
        self.models: list[str] = []
        self.refused, self.reported = refused, list[tuple[int, str]]()
        place = Place(folder, index, 2, self._loaded, lambda other, why: self.reported.append((other, why)))
        self.siblings = Siblings(place, {})
        self.siblings.shared["models"] = self

    async def _loaded(self, _: Callable[[], str]) -> None:
        raise AssertionError("no test starts a server")

    def state(self) -> list[str]:
        return list(self.models)

    async def adopt(self, state: Any) -> None:
        self.models = state

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        if request.model_name in self.refused:
            raise NotFound("no such model")
        await asyncio.sleep(0)
        self.models.append(request.model_name)
        return pb.RepositoryModelUnloadResponse()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Any]:
        server = Server(around=self.siblings.around)
        server.add(add, self)
        async with self.siblings.joining():
            server.add_insecure_port(self.siblings.address)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield oip.GRPCInferenceServiceStub(channel)
        await server.stop(5)


def add(worker: Worker, server: Any) -> None:
    handler = grpc.unary_unary_rpc_method_handler(
        worker.RepositoryModelUnload,
        pb.RepositoryModelUnloadRequest.FromString,
        pb.RepositoryModelUnloadResponse.SerializeToString,
    )
    server.add_registered_method_handlers("inference.GRPCInferenceService", {"RepositoryModelUnload": handler})


def unload(stub: Any, name: str) -> Awaitable[Any]:
    call: Awaitable[Any] = stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=name), timeout=30)
    return call


def check(test: Callable[[Path], Awaitable[None]]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with asyncio.timeout(60):
                await test(Path(folder))

    asyncio.run(run())


def test_all_run_the_same_calls_in_the_same_order() -> None:
    async def test(folder: Path) -> None:
        one, two = Worker(folder, 0), Worker(folder, 1)
        async with one.serving() as first, two.serving() as second:
            await asyncio.gather(*(unload(stub, f"{place}") for place in range(8) for stub in (first, second)))
        assert len(one.models) == 16
        assert one.models == two.models
        assert one.reported == two.reported == []

    check(test)


def test_what_the_first_refuses_reaches_no_other_and_who_does_not_follow_is_reported() -> None:
    async def test(folder: Path) -> None:
        one, two = Worker(folder, 0, "a"), Worker(folder, 1, "b")
        async with one.serving() as first, two.serving():
            try:
                await unload(first, "a")
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND
            assert (one.models, two.models, one.reported) == ([], [], [])
            await unload(first, "b")
            assert (one.models, two.models) == (["b"], [])
        ((index, reason),) = one.reported
        assert (index, "NOT_FOUND, no such model" in reason) == (1, True)

    check(test)


def test_a_worker_that_begins_to_serve_adopts_what_the_others_have() -> None:
    async def test(folder: Path) -> None:
        one, two = Worker(folder, 0), Worker(folder, 1)
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(one.serving())
            await unload(first, "a")  # the other one does not run
            assert one.reported == []
            await stack.enter_async_context(two.serving())
            assert two.models == ["a"]
            await unload(first, "b")
            assert two.models == ["a", "b"]

    check(test)


def test_the_others_are_started_anew_if_a_worker_died_while_it_sent_a_call_on() -> None:
    async def test(folder: Path) -> None:
        one = Worker(folder, 0)
        (folder / "state.json").write_text(json.dumps({"complete": False, "state": {"models": ["a"]}}))
        async with one.serving():
            assert one.models == ["a"]
        assert [index for index, _ in one.reported] == [1]
        async with one.serving():
            pass
        assert len(one.reported) == 1

    check(test)
