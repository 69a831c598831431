"""What one client may take: calls under way at a time, and what gRPC itself limits for each connection."""

import time

from resprobe_server.config import Config
from resprobe_server.errors import QueueFull
from resprobe_server.grpc_call import Call

MIB = 1 << 20
HEALTH = "grpc.health.v1.Health/"
FIRST_GUESS = 1.0  # seconds of a call, before any was measured


class CallLimit:
    """Refuses calls beyond a number under way at a time, before they are read.

    Health checks are not counted: a busy server is not a sick one, and must not be restarted for it.
    """

    def __init__(self, limit: int) -> None:
        """Makes it; the limit is at least 1."""
        self._limit, self._seconds = limit, FIRST_GUESS
        self._entered, self._left = 0, 0  # each is counted by one thread, so neither needs a lock

    def enter(self, call: Call) -> None:
        """See Gate. Raises QueueFull."""
        if call.method.startswith(HEALTH):
            return
        running = self._entered - self._left
        if running >= self._limit:
            raise QueueFull(
                f"{running} calls are under way, which is the limit; try again later", retry_after=self._seconds
            )
        self._entered += 1
        call.add_done_callback(self._leave)

    def _leave(self, call: Call) -> None:
        self._left += 1
        if not call.streams:  # how long a client keeps one open says nothing about this server
            self._seconds = 0.9 * self._seconds + 0.1 * (time.monotonic() - call.began)


def options(config: Config) -> list[tuple[str, int]]:
    """Channel arguments of gRPC (grpc/impl/channel_arg_names.h) for what is limited there."""
    arguments = {
        "grpc.max_receive_message_length": config.max_message * MIB,
        "grpc.max_send_message_length": config.max_message * MIB,
        "grpc.max_concurrent_streams": config.max_streams,
        # This side's pings find connections whose client is gone.
        "grpc.keepalive_time_ms": _ms(config.keepalive),
        "grpc.keepalive_timeout_ms": _ms(config.keepalive_timeout),
        "grpc.http2.ping_timeout_ms": _ms(config.keepalive_timeout),  # a minute otherwise, whatever the line above says
        "grpc.keepalive_permit_without_calls": 1,
        # The client's pings: who sends them faster gets three warnings and is disconnected.
        "grpc.http2.min_recv_ping_interval_without_data_ms": _ms(config.min_ping_interval),
        "grpc.so_reuseport": 0,  # a second server at the same address is a mistake, not a wish
    }
    if config.max_connection_age:
        arguments["grpc.max_connection_age_ms"] = _ms(config.max_connection_age)
        arguments["grpc.max_connection_age_grace_ms"] = _ms(config.drain)
    return list(arguments.items())


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
