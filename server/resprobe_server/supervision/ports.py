"""Reserves ports that several processes of this server listen at, and no other program."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from resprobe._wire.address import SCHEMES, parse
from resprobe.errors import InvalidRequest

from resprobe_server.errors import StartError

TRIES = 10  # free ports that are tried until one is free for every address of a host


@contextmanager
def reserved(address: str) -> Iterator[str]:
    """Keeps a port while the context is open: processes of this user may listen there with SO_REUSEPORT.

    The port is bound before SO_REUSEPORT is set, so that another server, also one with workers, finds it in use. It is
    not listened at: connections are refused until a worker listens.

    Args:
        address: HOST:PORT; port 0 picks a free port.

    Yields:
        HOST:PORT with the port that is reserved.

    Raises:
        StartError: The address is not HOST:PORT, or another program has it.
    """
    if address.startswith(SCHEMES):
        raise StartError(f"cannot listen at {address} with --workers: expected HOST:PORT, which processes can share")
    try:
        host, _, port = parse(address, listening=True).rpartition(":")
    except InvalidRequest as error:
        raise StartError(f"cannot listen at {address}: {error}") from error
    held = _reserve(address, host.strip("[]"), int(port))
    try:
        yield f"{host}:{held[0].getsockname()[1]}"
    finally:
        for one in held:
            one.close()


def _reserve(address: str, host: str, port: int) -> list[socket.socket]:
    for left in reversed(range(TRIES if port == 0 else 1)):
        held, failures = _bind_all(address, host, port)
        if held and not any(failure.errno == errno.EADDRINUSE for failure in failures):
            return held
        for one in held:
            one.close()
        if left == 0:
            in_use = any(failure.errno == errno.EADDRINUSE for failure in failures)
            reason = "the port is in use by another program" if in_use else failures[0].strerror
            raise StartError(f"cannot listen at {address}: {reason}") from failures[0]
    raise StartError(f"cannot listen at {address}: no port is free for every address of {host}")


def _bind_all(address: str, host: str, port: int) -> tuple[list[socket.socket], list[OSError]]:
    """Binds every address of a host at the same port. Returns the sockets, and the failures of the others."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StartError(f"cannot listen at {address}: {error.strerror}") from error
    held: list[socket.socket] = []
    failures: list[OSError] = []
    for family, kind, protocol, _, place in places:
        one = socket.socket(family, kind, protocol)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections of a server that has ended
            one.bind((place[0], held[0].getsockname()[1] if held else port, *place[2:]))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.append(one)
        except OSError as error:
            failures.append(error)
            one.close()
    return held, failures
