"""Health checks (grpc.health.v1): whether the server and each model serve, asked once or watched.

It is not grpcio-health-checking's servicer, because that one forgets all watchers of a service when one of them leaves,
and does not limit their number.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator

from grpc_health.v1 import health_pb2, health_pb2_grpc

from resprobe_server.errors import InvalidRequest, NotFound, QueueFull
from resprobe_server.rpc.context import CallContext, GateContext

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
MAX_NAME = 256  # characters of the name of a service
WATCH = "grpc.health.v1.Health/Watch"
SHARE = 4  # one origin may open the limit divided by this
RETRY = 10.0  # seconds after which a watcher that was refused may try again


class Health(health_pb2_grpc.HealthServicer):
    """Answers health checks on the event loop; as a Gate, limits watchers on the poller's thread."""

    def __init__(self, limit: int) -> None:
        """Creates the service; `limit` is the maximum number of streams that watch."""
        self._limit, self._lock, self._open = limit, threading.Lock(), 0
        self._statuses: dict[str, int] = {}
        self._watchers: set[asyncio.Event] = set()  # set when a status has changed
        self._origins: Counter[str] = Counter()
        self._ending = False

    def show(self, service: str, serving: bool) -> None:
        """Sets whether a service serves, and tells its watchers; the name "" stands for the whole server."""
        if not self._ending:
            self._statuses[service] = SERVING if serving else NOT_SERVING
            self._wake()

    def end(self) -> None:
        """Sets that nothing serves any more, tells watchers so, and ends their streams."""
        self._ending = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._wake()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: CallContext
    ) -> health_pb2.HealthCheckResponse:
        """Returns the status of a service. Raises NotFound if there is no service of this name."""
        status = self._statuses.get(request.service)
        if status is None:
            raise NotFound(f"there is no service {request.service[:MAX_NAME]!r}")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: CallContext
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Yields the status of a service, now and whenever it changes; the service may be added later.

        Raises:
            InvalidRequest: The name is longer than that of any service.
        """
        service = request.service
        if len(service) > MAX_NAME:
            raise InvalidRequest(f"the name of a service has at most {MAX_NAME} characters", "service")
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
        """Admits a call, as a Gate. Raises QueueFull for one Watch too many, of all clients or of its own."""
        if call.method != WATCH:
            return
        with self._lock:
            for count, limit, name in (
                (self._open, self._limit, "all clients"),
                (self._origins[call.origin], max(1, self._limit // SHARE), call.origin),
            ):
                if count >= limit:
                    raise QueueFull(f"{count} streams of {name} watch health, which is the limit", RETRY)
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
