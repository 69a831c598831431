"""Health checks (grpc.health.v1): whether the server and each model serve, asked once or watched.

grpcio-health-checking's servicer for asyncio forgets all watchers of a service when one of them leaves, and lets
anybody open as many as they like: hence this one.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from resprobe_server.errors import InvalidRequest, NotFound, QueueFull
from resprobe_server.rpc.context import GateContext

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
LONGEST_NAME = 256  # characters of the name of a service
WATCH = "grpc.health.v1.Health/Watch"
SHARE = 4  # one origin may have the limit divided by this
RETRY = 10.0  # seconds after which a watcher that was refused may try again


class Health(health_pb2_grpc.HealthServicer):
    """Answers health checks on the event loop; as a Gate, lets watchers in on the poller's thread."""

    def __init__(self, limit: int) -> None:
        """Makes it; `limit` is the maximum of streams that watch."""
        self._limit, self._lock, self._open = limit, threading.Lock(), 0
        self._statuses: dict[str, int] = {}
        self._watchers: set[asyncio.Event] = set()  # set when a status has changed
        self._origins: Counter[str] = Counter()
        self._ending = False

    def show(self, service: str, serving: bool) -> None:
        """Tells those who ask or watch whether a service serves; "" is the whole server."""
        if not self._ending:
            self._statuses[service] = SERVING if serving else NOT_SERVING
            self._wake()

    def end(self) -> None:
        """Nothing serves any more: tells watchers so, and ends their streams."""
        self._ending = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._wake()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        """The status of a service. Raises NotFound if there is none of this name."""
        status = self._statuses.get(request.service)
        if status is None:
            raise NotFound(f"there is no service {request.service[:LONGEST_NAME]!r}")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status of a service, now and whenever it changes; a service of this name may come later.

        Raises:
            InvalidRequest: The name is too long to be one.
        """
        service = request.service
        if len(service) > LONGEST_NAME:
            raise InvalidRequest(f"the name of a service has at most {LONGEST_NAME} characters", "service")
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            last = None
            while True:
                changed.clear()
                status = self._statuses.get(service, SERVICE_UNKNOWN)
                if status != last:
                    last = status
                    yield health_pb2.HealthCheckResponse(status=status)
                if self._ending:
                    return
                await changed.wait()
        finally:
            self._watchers.discard(changed)

    def enter(self, call: GateContext) -> None:
        """Lets a call in, as a Gate. Raises QueueFull for one Watch too many, of all callers or of its own."""
        if call.method != WATCH:
            return
        with self._lock:
            for count, limit, who in (
                (self._open, self._limit, "all callers"),
                (self._origins[call.origin], max(1, self._limit // SHARE), call.origin),
            ):
                if count >= limit:
                    raise QueueFull(f"{count} streams of {who} watch health, which is the limit", RETRY)
            self._open += 1
            self._origins[call.origin] += 1
        call.add_done_callback(self._leave)

    def _leave(self, call: GateContext) -> None:
        with self._lock:
            self._open -= 1
            self._origins[call.origin] -= 1
            if not self._origins[call.origin]:
                del self._origins[call.origin]

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()
