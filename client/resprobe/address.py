"""Whether a gRPC address stays on this machine: where both sides allow plaintext."""

import ipaddress

UNIX = ("unix:", "unix-abstract:")


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
