"""Makes calls reach all workers: those that change the state of a server, and those that ask for its counters.

The worker that gets such a call takes the lock of all workers, runs the call itself, writes the state that follows to a
file, and sends the call on. So all workers run the same calls in the same order. A worker that fails where the first
one did not is started anew. A new worker takes the lock, adopts the state of the file, and then begins to serve: no
call is lost between the two.
"""

import asyncio
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message

from resprobe_server.errors import NotReady
from resprobe_server.workers.place import Place

PRIVATE = "unix:"  # beginning of the peer of a call from another worker: no client can reach a worker so
APPLIED = frozenset(  # full names of methods that change the state of a server
    {
        "inference.GRPCInferenceService/RepositoryModelLoad",
        "inference.GRPCInferenceService/RepositoryModelUnload",
        "inference.GRPCInferenceService/SystemSharedMemoryRegister",
        "inference.GRPCInferenceService/SystemSharedMemoryUnregister",
        "resprobe.v1.RolloutService/SetShadow",
        "resprobe.v1.RolloutService/PromoteModel",
        "resprobe.v1.RolloutService/RollbackModel",
    }
)
PAUSE = 0.02  # seconds between attempts to get the lock
LONGEST_TURN = 300.0  # seconds: maximum to get the lock, and for another worker to answer
FEW = 20  # seconds: maximum for a counter of another worker
OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
GONE = grpc.StatusCode.UNAVAILABLE  # nothing listens there: that worker adopts the state when it begins to serve
Json: TypeAlias = Any
Run: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
log = structlog.get_logger()


class Shared(Protocol):
    """Part of a server's state that all workers have in common."""

    def state(self) -> Json:
        """Returns the state."""

    async def adopt(self, state: Json, /) -> None:
        """Makes a state that another worker has returned one's own."""


class Siblings:
    """The other workers, as one of them sees them. Lives on the event loop."""

    def __init__(self, place: Place, merges: Mapping[str, Callable[[Sequence[Any]], Message]]) -> None:
        """Creates it.

        Args:
            place: Place of this worker.
            merges: Functions that make one response of those of all workers, by the full name of the method.
        """
        self._place, self._merges = place, merges
        self._turn = asyncio.Lock()
        self._file = place.folder / "state.json"
        self.shared: dict[str, Shared] = {}

    @property
    def address(self) -> str:
        """Address that this worker listens at for the others."""
        return self._place.address(self._place.index)

    def around(self, method: str, run: Run) -> Run:
        """Returns what runs a method, given its full name and what runs it in this worker."""
        if method in APPLIED:

            async def everywhere(request: Message, context: Any) -> Any:
                return await self._apply(method, run, request, context)

            return everywhere
        merge = self._merges.get(method)
        if merge is None:
            return run

        async def gathered(request: Message, context: Any) -> Any:
            own = await run(request, context)
            if _is_forwarded(context):
                return own
            answers = await self._send(method, request, type(own), context, FEW)
            return merge([own, *(_counted(index, one) for index, one in answers.items() if not _lacks(one))])

        return gathered

    def known(self, name: str) -> Json:
        """Returns a part of the state of the workers that serve. If None, none of them has changed it."""
        return self._read()["state"][name] if self._file.exists() else None

    @asynccontextmanager
    async def joining(self) -> AsyncIterator[None]:
        """Adopts the state of the others; while the context is open, it does not change. Then this worker serves."""
        async with self._lock():
            if self._file.exists():
                for name, state in self._read()["state"].items():
                    await self.shared[name].adopt(state)
            yield

    async def _apply(self, method: str, run: Run, request: Message, context: Any) -> Any:
        """Runs a call in all workers, even if the client leaves meanwhile, unless it fails in this one."""
        if _is_forwarded(context):
            return await run(request, context)

        async def apply() -> Any:
            async with self._lock():
                response = await run(request, context)
                self._write(complete=False)
                await self._follow(method, request, type(response), context)
                self._write(complete=True)
            return response

        return await asyncio.shield(asyncio.create_task(apply()))

    def _read(self) -> Json:
        return json.loads(self._file.read_text())

    def _write(self, complete: bool) -> None:
        """Writes the state; it is complete when all workers have it."""
        new = self._file.with_suffix(".new")
        new.write_text(
            json.dumps({"complete": complete, "state": {name: one.state() for name, one in self.shared.items()}})
        )
        new.replace(self._file)

    async def _follow(self, method: str, request: Message, kind: type[Message], context: Any) -> None:
        for index, answer in (await self._send(method, request, kind, context, LONGEST_TURN)).items():
            if isinstance(answer, grpc.aio.AioRpcError) and answer.code() is not GONE:
                self._restart(index, f"{method}: {answer.code().name}, {answer.details()}")

    def _restart(self, index: int, reason: str) -> None:
        log.error("a worker did not follow the others, and is started anew", other=index, reason=reason)
        self._place.out_of_step(index, reason)

    async def _send(
        self, method: str, request: Message, kind: type[Message], context: Any, seconds: float
    ) -> dict[int, Message | grpc.aio.AioRpcError]:
        """Sends a request to all other workers at once. Returns the answers or errors by the numbers of the workers."""
        metadata = [(key, value) for key, value in context.invocation_metadata() or () if key == "authorization"]

        async def ask(index: int) -> Message | grpc.aio.AioRpcError:
            async with grpc.aio.insecure_channel(self._place.address(index), OPTIONS) as channel:
                call = channel.unary_unary(f"/{method}", type(request).SerializeToString, kind.FromString)
                try:
                    answer: Message = await call(request, timeout=seconds, metadata=metadata)
                except grpc.aio.AioRpcError as error:
                    return error
                return answer

        others = self._place.others
        return dict(zip(others, await asyncio.gather(*map(ask, others)), strict=True))

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[None]:
        """Holds the lock of all workers; the system frees it if this one dies. Raises NotReady if that lasts long."""
        async with self._turn:
            file, end = os.open(self._place.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), LONGEST_TURN
            end += time.monotonic()
            try:
                while not _try_lock(file):
                    if time.monotonic() > end:
                        raise NotReady("another worker is changing the state of the server; try again in a moment")
                    await asyncio.sleep(PAUSE)
                self._mend()
                yield
            finally:
                os.close(file)

    def _mend(self) -> None:
        """Has the others started anew if a worker died while it sent a call on: only some of them have got it."""
        if not self._file.exists():
            return
        found = self._read()
        if not found["complete"]:
            for index in self._place.others:
                self._restart(index, "a worker ended while the state of all was changed")
            self._file.write_text(json.dumps(found | {"complete": True}))


def _is_forwarded(context: Any) -> bool:
    """Returns whether a call is from another worker, and keeps it from being counted a second time."""
    if not context.peer().startswith(PRIVATE):
        return False
    context.tallies = False
    return True


def _lacks(answer: Message | grpc.aio.AioRpcError) -> bool:
    """Returns whether a worker has nothing to tell: it is being started, or does not have the version yet."""
    return isinstance(answer, grpc.aio.AioRpcError) and answer.code() in (GONE, grpc.StatusCode.NOT_FOUND)


def _counted(index: int, answer: Message | grpc.aio.AioRpcError) -> Message:
    if isinstance(answer, grpc.aio.AioRpcError):
        raise NotReady(f"worker {index} does not tell what it has counted: {answer.details()}; try again in a moment")
    return answer


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
