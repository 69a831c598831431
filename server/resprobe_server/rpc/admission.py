"""Limits for one client: calls under way at a time, and what gRPC itself limits for each connection."""

import ipaddress
import threading
import time
from collections import Counter
from functools import lru_cache
from urllib.parse import unquote

from resprobe_server.config import Config
from resprobe_server.errors import QueueFull
from resprobe_server.rpc.arrivals import Arrivals
from resprobe_server.rpc.context import LimitedCall

MIB = 1 << 20
READ_AHEAD = 256 << 10  # bytes; a message that is being read is read whole, whatever its size
HEALTH = "grpc.health.v1.Health/"
FIRST_GUESS = 1.0  # seconds of a call, before any was measured
KEPT_FREE = 7  # a client may have so many calls for each place that is free: 896 of 1024, if it is alone
ANONYMOUS = 8  # clients without a token share a pool of the limit divided by this
PREFIX = 64  # bits of an IPv6 address: one machine may use all addresses that share them


def origin_of(peer: str) -> str:
    """Returns where a call comes from, as far as limits tell clients apart: an IP address, whatever the port.

    Args:
        peer: Address as gRPC names it, such as ipv4:10.0.0.1:4711, ipv6:%5B::1%5D:4711 or unix:/run/socket.
    """
    scheme, _, rest = peer.partition(":")
    if scheme == "ipv4":
        return rest.rpartition(":")[0]
    return _network(rest.rpartition(":")[0]) if scheme == "ipv6" else scheme


@lru_cache(4096)
def _network(address: str) -> str:
    bare = unquote(address).strip("[]").partition("%")[0]
    try:
        return str(ipaddress.ip_network((bare, PREFIX), strict=False))
    except ValueError:
        return bare


class CallLimit:
    """Maximum number of calls under way at a time.

    Each client has a share: the holder of a token, or else an IP address. Where there are tokens, the methods that need
    none have a small pool of their own, so that clients without a token cannot shut out those that have one.

    Health checks are not counted: a busy server is not a sick one, and must not be restarted for it.
    """

    def __init__(self, limit: int, share: int = 0, tokens: bool = False) -> None:
        """Creates a limit with all places free.

        Args:
            limit: Maximum calls under way, minimum 1.
            share: Maximum calls of one client. If 0, a client may have `KEPT_FREE` times as many as there are places
                free, so that there is always one for the next client.
            tokens: Whether clients have tokens.
        """
        self.limit, self._share, self._tokens = limit, share, tokens
        self._seconds = FIRST_GUESS
        self._lock = threading.Lock()  # calls enter on the poller's thread and leave on the event loop
        self._running = self._anonymous = 0
        self._shares: Counter[str] = Counter()

    def check(self, call: LimitedCall) -> None:
        """Raises QueueFull if there is no place for a call."""
        if call.method.startswith(HEALTH):
            return
        if self._tokens and call.principal is None:
            self._refuse_beyond(max(1, self.limit // ANONYMOUS), self._anonymous, "calls without a token are under way")
            return
        self._refuse_beyond(self.limit, self._running, "calls are under way")
        own = self._shares.get(call.origin, 0)
        self._refuse_beyond(
            self._share or KEPT_FREE * (self.limit - self._running), own, f"calls of {call.origin} are under way"
        )

    def enter(self, call: LimitedCall) -> None:
        """Gives a place to a call, unless it has ended. Raises QueueFull if there is none."""
        if call.method.startswith(HEALTH):
            return
        with self._lock:
            if call.code() is None:
                self.check(call)
                self._count(call, 1)
                call.has_place = True

    def leave(self, call: LimitedCall) -> None:
        """Takes back the place of a call that has ended, if it has one."""
        with self._lock:
            if not call.has_place:
                return
            call.has_place = False
            self._count(call, -1)
        if not call.streams:  # a client may keep one open for as long as it likes
            self._seconds = 0.9 * self._seconds + 0.1 * (time.monotonic() - call.began)

    def _count(self, call: LimitedCall, step: int) -> None:
        if self._tokens and call.principal is None:
            self._anonymous += step
            return
        self._running += step
        self._shares[call.origin] += step
        if not self._shares[call.origin]:
            del self._shares[call.origin]

    def _refuse_beyond(self, limit: int, count: int, what: str) -> None:
        if count >= limit:
            raise QueueFull(f"{count} {what}, which is the limit; try again later", retry_after=self._seconds)


def arrivals(config: Config) -> Arrivals:
    """Creates what waits for requests and gives calls their places, as configured."""
    tokens = config.tokens is not None
    limit = CallLimit(config.max_calls, config.max_calls_per_peer, tokens) if config.max_calls else None
    return Arrivals(config.request_timeout, limit)


def options(config: Config) -> list[tuple[str, int]]:
    """Returns channel arguments of gRPC (grpc/impl/channel_arg_names.h) for the limits of a connection."""
    arguments = {
        "grpc.max_receive_message_length": config.max_message * MIB,
        "grpc.max_send_message_length": config.max_message * MIB,
        "grpc.max_concurrent_streams": config.max_streams,
        # With it, core counts streams that have ended for a while, and refuses those of clients that keep the limit.
        "grpc.http.overload_protection": 0,
        # Bytes that core may read ahead of a stream that reads no more; without a bound if it probes the bandwidth.
        "grpc.http2.bdp_probe": 0,
        "grpc.http2.lookahead_bytes": READ_AHEAD,
        # This side's pings find connections whose client is gone.
        "grpc.keepalive_time_ms": _ms(config.keepalive),
        "grpc.keepalive_timeout_ms": _ms(config.keepalive_timeout),
        "grpc.http2.ping_timeout_ms": _ms(config.keepalive_timeout),  # a minute by default, despite the line above
        "grpc.keepalive_permit_without_calls": 1,
        # The client's pings: a client that sends them faster gets three warnings and is disconnected.
        "grpc.http2.min_recv_ping_interval_without_data_ms": _ms(config.min_ping_interval),
        # A second server at the same address is a mistake; workers of one server have a port that is reserved for them.
        "grpc.so_reuseport": int(config.workers > 1),
    }
    if config.max_connection_age:
        arguments["grpc.max_connection_age_ms"] = _ms(config.max_connection_age)
        arguments["grpc.max_connection_age_grace_ms"] = _ms(config.drain)
    return list(arguments.items())


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
