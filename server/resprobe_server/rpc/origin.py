"""Where a call comes from, as far as limits tell callers apart: by IP address, whatever the port."""

import ipaddress
from functools import lru_cache
from urllib.parse import unquote

PREFIX = 64  # bits of an IPv6 address: one machine may use all addresses that share them


def origin_of(peer: str) -> str:
    """The origin of a peer as gRPC names it, such as ipv4:10.0.0.1:4711, ipv6:%5B::1%5D:4711 or unix:/run/socket."""
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
