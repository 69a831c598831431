"""Several servers behind one client: how gRPC finds them, spreads calls over them, and leaves those that are dead.

An address stands for several if it lists them (HOST:PORT,HOST:PORT, or behind ipv4: or ipv6:) or begins with dns:, for
then every address that the name has is a server. All others have one connection, and none of this.
"""

import ipaddress
import json
import socket
from collections.abc import Mapping
from typing import Any

from resprobe._wire.address import UNIX, host_of, split_scheme
from resprobe.errors import ServerUnavailable

SERVICE = "resprobe.v1.ResidualService"
_HEALTH = "grpc.health.v1.Health"
_BALANCING: Mapping[str, Any] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    # A connection that says NOT_SERVING gets no calls: each is watched (Health/Watch) as long as it is open.
    "healthCheckConfig": {"serviceName": SERVICE},
}
_WHOLE = 2**31 - 1
_OPTIONS: list[tuple[str, Any]] = [
    # A call can be repeated at another server only if its request is kept; gRPC keeps 256 KiB of it by default.
    ("grpc.per_rpc_retry_buffer_size", _WHOLE),
    # Pings find servers that vanished with their machine and closed nothing; more seldom than --min-ping-interval.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


def is_several(address: str) -> bool:
    """Returns whether an address, which was parsed, may stand for several servers."""
    if address.startswith(UNIX):
        return False
    scheme, rest = split_scheme(address)
    return scheme == "dns" or "," in rest


def target(address: str) -> str:
    """Returns what gRPC resolves: the address, or for a list of hosts ipv4: or ipv6: with all that they resolve to.

    gRPC has no resolver for several names, so that those of a list are resolved here, once. Hosts that have no address
    now are left out.

    Raises:
        ServerUnavailable: No host of the list has an address.
    """
    scheme, rest = split_scheme(address)
    if address.startswith(UNIX) or scheme or "," not in rest:
        return address
    found: dict[tuple[str, int], None] = {}  # in order, each once
    failures = []
    for one in rest.split(","):
        host, port = host_of(one), int(one.rpartition(":")[2])
        try:
            found.update(dict.fromkeys((str(where[0]), port) for *_, where in _look_up(host, port)))
        except OSError as error:
            failures.append(f"{host}: {error.strerror}")
    if not found:
        raise ServerUnavailable(f"no host of {address} has an address: {', '.join(failures)}")
    return _as_target(list(found))


def options(address: str, methods: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Returns gRPC's options for the channel to an address.

    Args:
        address: Address that was parsed.
        methods: Names and retry policy of the methods, as in `methodConfig` of gRPC's service config.
    """
    if not is_several(address):
        return [("grpc.service_config", json.dumps({"methodConfig": [methods]}))]
    methods = {**methods, "name": [*methods["name"], {"service": _HEALTH}]}  # there is another server to ask
    found = [("grpc.service_config", json.dumps({**_BALANCING, "methodConfig": [methods]})), *_OPTIONS]
    scheme, rest = split_scheme(address)
    if scheme != "dns":  # a channel has one name to verify and to send; of a list gRPC would use the whole text
        found.append(("grpc.default_authority", rest.partition(",")[0]))
    return found


def _look_up(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _as_target(found: list[tuple[str, int]]) -> str:
    """Writes addresses for gRPC's ipv4: resolver, or for ipv6:, where those of IPv4 are mapped."""
    if not any(":" in host for host, _ in found):
        return "ipv4:" + ",".join(f"{host}:{port}" for host, port in found)
    mapped = [(host if ":" in host else f"::ffff:{ipaddress.IPv4Address(host)}", port) for host, port in found]
    return "ipv6:" + ",".join(f"[{host}]:{port}".replace("%", "%25") for host, port in mapped)
