"""Addresses as gRPC takes them: which are right, which is the default, and which stay on this machine."""

import ipaddress
import os
import re

from resprobe.errors import InvalidRequest

DEFAULT = "localhost:50051"

UNIX = ("unix:", "unix-abstract:")
SCHEMES = (*UNIX, "dns:", "ipv4:", "ipv6:")  # of gRPC's resolvers


def default() -> str:
    """Where clients look for a server: what the environment variable RESPROBE_ADDRESS says, or DEFAULT."""
    return os.environ.get("RESPROBE_ADDRESS") or DEFAULT


def parse(address: str, *, listening: bool = False) -> str:
    """Returns an address if it is one; gRPC itself guesses ports where they are missing or out of range.

    Args:
        address: HOST:PORT, [IPV6]:PORT, unix:PATH, unix-abstract:NAME, or these behind dns:, ipv4: or ipv6:.
        listening: Whether a server is to listen there: port 0 is then any free one.

    Raises:
        InvalidRequest: It is none of these, or its port is missing or out of range.
    """
    if address.startswith(UNIX):
        if not address.partition(":")[2].strip("/"):
            raise InvalidRequest(f"address {address!r} has no path; expected unix:PATH")
        return address
    scheme, _, rest = address.partition(":")
    if scheme == "dns":
        rest = rest.removeprefix("//").partition("/")[2] if rest.startswith("//") else rest
    elif scheme not in ("ipv4", "ipv6"):
        rest = address
    for one in rest.split(",") if scheme in ("ipv4", "ipv6") else [rest]:
        _check(address, one, 0 if listening else 1)
    return address


def _check(address: str, one: str, lowest: int) -> None:
    if "://" in one:
        raise InvalidRequest(f"address {address!r}: expected HOST:PORT, without {one.partition('://')[0]}://")
    host, _, port = one.rpartition(":")
    if _is_ipv6(one) or (one.startswith("[") and one.endswith("]")):
        raise InvalidRequest(f"address {address!r} has no port; expected [{one.strip('[]')}]:PORT")
    if not host:
        missing = "host" if one.startswith(":") else "port"
        raise InvalidRequest(f"address {address!r} has no {missing}; expected HOST:PORT, for example {DEFAULT}")
    if not re.fullmatch(r"[0-9]{1,9}", port) or not lowest <= int(port) <= 65535:
        raise InvalidRequest(f"address {address!r}: port {port!r}; expected a number from {lowest} to 65535")
    if _is_ipv6(host):
        raise InvalidRequest(f"address {address!r}: expected [{host}]:{port}, with brackets")
    if not (_is_ipv6(host[1:-1]) if host.startswith("[") else _is_host(host)):
        raise InvalidRequest(f"address {address!r}: {host!r} is not a host; expected HOST:PORT")


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def _is_host(host: str) -> bool:
    if re.fullmatch(r"[0-9.]+", host):  # a name has letters
        try:
            return ipaddress.ip_address(host).version == 4
        except ValueError:
            return False
    return len(host) <= 253 and all(re.fullmatch(r"[\w-]{1,63}", part) for part in host.removesuffix(".").split("."))


def is_loopback(address: str) -> bool:
    """Whether what is sent to this address, or accepted at it, stays on this machine.

    Args:
        address: As gRPC takes it: HOST:PORT, unix:PATH, or with a scheme of its resolvers. A host name other than
            localhost counts as the network's, wherever it leads today.
    """
    if address.startswith(UNIX):
        return True
    scheme, _, rest = address.partition(":")
    if scheme == "dns":
        address = rest.removeprefix("//").partition("/")[2] if rest.startswith("//") else rest  # dns://RESOLVER/HOST
    elif scheme in ("ipv4", "ipv6"):
        address = rest
    # Only the ip schemes take several addresses; % begins an escape, behind which anything can hide.
    return "%" not in address and all(_is_loopback_host(_host(one)) for one in address.split(","))


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _is_loopback_host(host: str) -> bool:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback
