"""Addresses of servers: their syntax, the default, and which of them stay on this machine."""

import ipaddress
import os
import re

from resprobe.errors import InvalidRequest

DEFAULT = "localhost:50051"

UNIX = ("unix:", "unix-abstract:")
SCHEMES = (*UNIX, "dns:", "ipv4:", "ipv6:")  # of gRPC's resolvers


def default() -> str:
    """Returns the address in the environment variable RESPROBE_ADDRESS, or DEFAULT."""
    return os.environ.get("RESPROBE_ADDRESS") or DEFAULT


def parse(address: str, *, listening: bool = False) -> str:
    """Checks an address and returns it; gRPC itself would guess ports that are missing or out of range.

    Args:
        address: HOST:PORT, [IPV6]:PORT, unix:PATH, unix-abstract:NAME, or these behind dns:, ipv4: or ipv6:. A client
            also accepts HOST:PORT,HOST:PORT.
        listening: Whether a server will listen there: port 0 then means any free port.

    Raises:
        InvalidRequest: It is not an address, or its port is missing or out of range.
    """
    if address.startswith(UNIX):
        if not address.partition(":")[2].strip("/"):
            raise InvalidRequest(f"address {address!r} has no path; expected unix:PATH")
        return address
    scheme, rest = split_scheme(address)
    listed = scheme in ("ipv4", "ipv6") or (not scheme and not listening)
    parts = rest.split(",") if listed else [rest]
    if scheme == "dns" and "," in rest:
        raise InvalidRequest(f"address {address!r}: dns: has one host; expected HOST:PORT,HOST:PORT without dns:")
    if len(parts) > 1 and not all(parts):
        raise InvalidRequest(f"address {address!r} has an empty entry; expected HOST:PORT,HOST:PORT")
    for place, one in enumerate(parts):
        if not scheme and one in parts[:place]:
            raise InvalidRequest(f"address {address!r} has {one} twice; expected each server once")
        _check(f"{address!r}" if len(parts) == 1 else f"{one!r} in {address!r}", one, 0 if listening else 1)
    return address


def split_scheme(address: str) -> tuple[str, str]:
    """Splits an address that is not a Unix socket into its scheme, "" if it has none, and what follows.

    Of dns://RESOLVER/HOST:PORT, what follows is HOST:PORT.
    """
    scheme, _, rest = address.partition(":")
    if scheme == "dns":
        return scheme, rest.removeprefix("//").partition("/")[2] if rest.startswith("//") else rest
    return (scheme, rest) if scheme in ("ipv4", "ipv6") else ("", address)


def _check(address: str, one: str, lowest: int) -> None:
    """Checks HOST:PORT; `address` names it in messages."""
    if "://" in one:
        raise InvalidRequest(f"address {address}: expected HOST:PORT, without {one.partition('://')[0]}://")
    host, _, port = one.rpartition(":")
    if _is_ipv6(one) or (one.startswith("[") and one.endswith("]")):
        raise InvalidRequest(f"address {address} has no port; expected [{one.strip('[]')}]:PORT")
    if not host:
        missing = "host" if one.startswith(":") else "port"
        raise InvalidRequest(f"address {address} has no {missing}; expected HOST:PORT, for example {DEFAULT}")
    if not re.fullmatch(r"[0-9]{1,9}", port) or not lowest <= int(port) <= 65535:
        raise InvalidRequest(f"address {address}: port {port!r}; expected a number from {lowest} to 65535")
    if _is_ipv6(host):
        raise InvalidRequest(f"address {address}: expected [{host}]:{port}, with brackets")
    if not (_is_ipv6(host[1:-1]) if host.startswith("[") else _is_host(host)):
        raise InvalidRequest(f"address {address}: {host!r} is not a host; expected HOST:PORT")


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
    """Returns whether what is sent to this address, or accepted at it, stays on this machine.

    Args:
        address: HOST:PORT, unix:PATH, or with a scheme of gRPC's resolvers. A host name other than localhost counts as
            the network, whatever it resolves to today.
    """
    if address.startswith(UNIX):
        return True
    _, rest = split_scheme(address)
    # % begins an escape, behind which anything can hide.
    return "%" not in rest and all(_is_loopback_host(host_of(one)) for one in rest.split(","))


def host_of(address: str) -> str:
    """Returns the host of HOST:PORT or [IPV6]:PORT, without brackets."""
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
