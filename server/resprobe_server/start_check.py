"""Checks at the start that this grpcio works: its version, and one real call before the server says that it serves.

The server uses internals of grpcio (rpc/core.py), which may change with any version. `make test-grpcio` runs the tests
of what is used with the oldest and the newest version that pyproject.toml admits.
"""

import asyncio
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import structlog
from grpc_health.v1 import health_pb2
from resprobe._wire.address import SCHEMES, UNIX

from resprobe_server.errors import StartError

OLDEST, BEFORE = (1, 76), (1, 86)  # tested versions, as in pyproject.toml
TESTED = f"grpcio>={OLDEST[0]}.{OLDEST[1]},<{BEFORE[0]}.{BEFORE[1]}"
CHECK = "/grpc.health.v1.Health/Check"  # needs no token, and is counted by no limit
SECONDS = 10.0  # maximum for the call
FOLDERS = None, "/dev/shm"  # for the private socket: the system's, or the one that is writable where nothing else is
ANY_HOST = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # all addresses of this machine → one of them
OWN_CONNECTION = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
log = structlog.get_logger()


def check_version(untested: bool, version: str = grpc.__version__) -> None:
    """Raises StartError if this version of grpcio was not tested with the server, unless that is wished."""
    found = re.match(r"(\d+)\.(\d+)", version)
    number = (int(found[1]), int(found[2])) if found else (0, 0)
    if not untested and not OLDEST <= number < BEFORE:
        raise StartError(
            f"grpcio {version} was not tested with this server, which uses internals of grpcio; install a tested "
            f"version (pip install '{TESTED}'), or start with --untested-grpcio"
        )


def check_workers() -> None:
    """Raises StartError if this system does not spread the connections of a port over processes."""
    if sys.platform != "linux":
        raise StartError("--workers needs Linux, whose kernel spreads the connections of a port over processes")


def target_of(address: str, port: int) -> str:
    """Returns the address at which this machine reaches a server that listens at `address`, on `port`."""
    if address.startswith(UNIX):
        return address
    scheme = next((one for one in SCHEMES if address.startswith(one)), "")
    host = address.removeprefix(scheme).partition(",")[0].rpartition(":")[0]
    return f"{scheme}{ANY_HOST.get(host, host)}:{port}"


@dataclass(frozen=True, eq=False)
class FirstCall:
    """The call that a server answers to itself before it serves.

    Attributes:
        target: Address to call it at. Empty if there is none that can be called.
        listening: Address that the server listens at, for the error.
        folder: Folder of the socket at `target` if that is private: it is removed after the call.
    """

    target: str
    listening: str
    folder: tempfile.TemporaryDirectory[str] | None = None

    async def make(self) -> None:
        """Calls the server, over a connection. Raises StartError if no response arrives."""
        try:
            if self.target:
                await asyncio.to_thread(_call, self.target)
            else:
                log.warning("no call at the start: a server with TLS needs a folder for a socket", folders=FOLDERS)
        except grpc.RpcError as error:
            raise StartError(
                f"the server at {self.listening} does not answer its own first call ({error.code().name}, "
                f"{error.details()}); it runs on grpcio {grpc.__version__}, and was tested with {TESTED}"
            ) from error
        finally:
            if self.folder is not None:
                self.folder.cleanup()


def at_port(address: str, port: int) -> FirstCall:
    """Prepares the call at the port of a server without TLS."""
    return FirstCall(target_of(address, port), address)


def at_private_socket(address: str, add: Callable[[str], int]) -> FirstCall:
    """Prepares the call at a Unix socket that only this user can reach, and that is removed after the call.

    A server with TLS cannot be its own client at the port: it has no certificate that its clients' authorities signed.

    Args:
        address: Address that the server listens at.
        add: Makes the server listen at another address, in plaintext, and returns 0 if that fails.
    """
    for parent in FOLDERS:
        try:
            folder = tempfile.TemporaryDirectory(prefix="resprobe-", dir=parent)
        except OSError:
            continue
        target = f"unix:{folder.name}/start"
        try:
            if add(target):
                return FirstCall(target, address, folder)
        except RuntimeError as error:
            log.info("cannot listen at a socket for the call at the start", target=target, reason=str(error))
        folder.cleanup()
    return FirstCall("", address)


def _call(target: str) -> None:
    with grpc.insecure_channel(target, OWN_CONNECTION) as channel:
        check = channel.unary_unary(
            CHECK, health_pb2.HealthCheckRequest.SerializeToString, health_pb2.HealthCheckResponse.FromString
        )
        check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
