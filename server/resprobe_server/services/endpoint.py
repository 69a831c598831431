"""The one path of inference requests, of both protocols, unary or one of a stream.

A request is parsed, looked up, planned and read exactly once, on the poller's thread. If its inputs are there by then,
it is queued at once and answered without a task. If something must still be done (pictures are decoded, a large
response is made), a task on the event loop does it with the same plan.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from resprobe_server.errors import Unreadable
from resprobe_server.execution.graph import Arrays
from resprobe_server.models.table import Table
from resprobe_server.models.version import Version
from resprobe_server.rpc.context import CallContext, RequestContext
from resprobe_server.rpc.request_stream import Each
from resprobe_server.rpc.status import CODES, make_status
from resprobe_server.scheduling.batcher import Batcher
from resprobe_server.scheduling.request import Outcome
from resprobe_server.tracer import NOTHING, Tracer


class Plan(Protocol):
    """How a request is answered: by which graph, and with which response."""

    @property
    def identifier(self) -> str:
        """Id of the request."""

    @property
    def version(self) -> Version:
        """Version that answers the request."""

    @property
    def batcher(self) -> Batcher:
        """Batcher of the graph that answers the request."""

    @property
    def row_bytes(self) -> int:
        """Bytes of the response for each image that count as held while the request waits; 0 for a small response."""

    @property
    def is_slow(self) -> bool:
        """Whether the response needs so much work that it is made on a thread of its own."""

    async def read(self, message: Any, deadline: float, /) -> Arrays:
        """Decodes or converts the inputs of a request. `deadline` is on the clock of time.monotonic."""

    def serialize(self, outcome: Outcome, /) -> bytes:
        """Returns the serialized response."""


@dataclass(eq=False, slots=True)
class Prepared:
    """Request that was looked up and planned.

    Attributes:
        plan: Plan of the request.
        deadline: Deadline on the clock of time.monotonic.
        inputs: Inputs of the graph. If None, the plan must read them from the message.
        message: Message that the inputs must be read from. If None, they have been read.
    """

    plan: Plan
    deadline: float
    inputs: Arrays | None
    message: Message | None = None


@dataclass(frozen=True)
class Absent:
    """Request for a model that is not in memory: its task waits until it is, and plans the request then.

    Attributes:
        model: Name of the model.
        message: Request.
        deadline: Deadline on the clock of time.monotonic.
    """

    model: str
    message: Message
    deadline: float


Bring: TypeAlias = Callable[[str, float, int], Awaitable[Table]]  # see OnDemand.bring


@dataclass(frozen=True)
class Refused:
    """Request that cannot be answered, whose task raises the reason inside its span.

    Attributes:
        error: Reason.
        identifier: Id of the request.
    """

    error: Exception
    identifier: str


class Planner(Protocol):
    """Side of an endpoint that knows its protocol's messages."""

    def prepare(self, data: bytes, call: RequestContext, /) -> Prepared | Absent:
        """Parses, looks up and plans a request. Raises a RequestError for a request that cannot be answered."""

    def plan(self, message: Any, call: CallContext, table: Table, /) -> Prepared:
        """Looks up in a table and plans a request that was parsed, on any thread. Raises a RequestError likewise."""

    def identifier(self, data: bytes, /) -> str:
        """Returns the id of a request that `prepare` has refused."""

    def refusal(self, status: status_pb2.Status, identifier: str, /) -> bytes:
        """Returns the serialized response of a stream that says why a request is not answered."""


class Endpoint:
    """Answers the requests of one method."""

    def __init__(self, planner: Planner, tracer: Tracer, streams: bool, bring: Bring) -> None:
        """Creates an endpoint.

        Args:
            planner: Plans requests.
            tracer: Tracer of requests.
            streams: Whether the method has a stream of requests, each of which then gets a span of its own.
            bring: Loads a model that is not in memory.
        """
        self._planner, self._tracer, self._streams, self._bring = planner, tracer, streams, bring

    def each(self, limit: int = 1, ordered: bool = False) -> Each:
        """Returns the method for the gRPC server.

        Args:
            limit: Maximum requests of one stream that are worked on at a time.
            ordered: Whether the responses of a stream have the order of the requests.
        """
        return Each(self.accept, self.answer, self.refuse, limit, ordered)

    def accept(self, data: bytes, call: RequestContext) -> Prepared | Absent | Refused | None:
        """Queues a request, on the poller's thread.

        Returns:
            The request, if it needs a task, which runs `answer`. If None, it was queued.

        Raises:
            Unreadable: The bytes are not a request.
            RequestError: The request cannot be answered. If its span is that of a task, the task raises this.
        """
        try:
            request = self._planner.prepare(data, call)
        except Exception as error:
            if isinstance(error, Unreadable) or not self._tracer.follows_tasks:
                raise
            return Refused(error, self._planner.identifier(data))
        if isinstance(request, Absent):
            call.regard(request.model)
            return request
        plan, inputs = request.plan, request.inputs
        call.regard(plan.version.name)
        if inputs is None or plan.is_slow or self._tracer.follows_tasks:
            return request
        plan.batcher.add(inputs, request.deadline, call.reply(plan.serialize), _response_bytes(plan, inputs))
        return None

    async def answer(self, request: Prepared | Absent | Refused, context: CallContext) -> bytes:
        """Answers a request that was not queued, on the event loop. Returns the serialized response."""
        if isinstance(request, Refused):
            with self._span(request.identifier):
                raise request.error
        if isinstance(request, Absent):
            with self._span(getattr(request.message, "id", "")):
                return await _run(await self._planned(request, context))
        with self._span(request.plan.identifier):
            return await _run(request)

    async def _planned(self, request: Absent, context: CallContext) -> Prepared:
        table = await self._bring(request.model, request.deadline, request.message.ByteSize())
        return self._planner.plan(request.message, context, table)

    def refuse(self, error: Exception, context: CallContext, identifier: str) -> tuple[bytes, grpc.StatusCode]:
        """Returns the response of a stream that says why a request is not answered, and the status."""
        status = make_status(error, context, identifier)
        return self._planner.refusal(status, identifier), CODES[status.code]

    def _span(self, identifier: str) -> AbstractContextManager[object]:
        return self._tracer.span("request", id=identifier) if self._streams else NOTHING


async def _run(request: Prepared) -> bytes:
    plan, inputs, size = request.plan, request.inputs, 0
    if inputs is None:
        inputs = await plan.read(request.message, request.deadline)
        size = 0 if request.message is None else request.message.ByteSize()
    size += _response_bytes(plan, inputs)
    outcome = await plan.batcher.submit(inputs, request.deadline, size)
    return await asyncio.to_thread(plan.serialize, outcome) if plan.is_slow else plan.serialize(outcome)


def _response_bytes(plan: Plan, inputs: Arrays) -> int:
    return plan.row_bytes and plan.row_bytes * len(next(iter(inputs.values())))
