"""Makes the server listen, in plaintext only where others cannot read it unless that is wished; a port for probes."""

import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from grpc_health.v1 import health_pb2_grpc
from resprobe._wire.address import SCHEMES, is_loopback, parse
from resprobe.errors import InvalidRequest

from resprobe_server.config import Config
from resprobe_server.errors import StartError
from resprobe_server.rpc.admission import options
from resprobe_server.rpc.arrivals import Arrivals
from resprobe_server.rpc.server import Server
from resprobe_server.security.tls import server_credentials
from resprobe_server.services.health import Health
from resprobe_server.start_check import FirstCall, at_port, at_private_socket

log = structlog.get_logger()


def listen(server: Server, config: Config, private: str = "") -> tuple[int, FirstCall]:
    """Makes a server listen as configured.

    Args:
        server: Server.
        config: Configuration.
        private: Address of a socket for other workers, which are not asked for TLS. If empty, there are none.

    Returns:
        The port, and the call that is to be made when the server has started.

    Raises:
        StartError: It cannot listen there, it would talk plaintext with other machines, or its certificate cannot be
            used.
    """
    address = parse_listening(config.address)
    if config.tls_cert is not None and config.tls_key is not None:
        credentials = server_credentials(config.tls_cert, config.tls_key, config.tls_client_ca)
        port = _bind(address, lambda: server.add_secure_port(address, credentials), config.workers)
        return port, _first_call_of_worker(server, address, private) or at_private_socket(
            address, server.add_insecure_port
        )
    if config.tls_cert or config.tls_key or config.tls_client_ca:
        raise StartError("TLS needs both --tls-cert and --tls-key; --tls-client-ca goes with them")
    if not is_loopback(address):
        if not config.insecure_plaintext:
            raise StartError(
                f"{address} can be reached from other machines, and without TLS anyone on the way can read and change "
                "what is sent, tokens too: give --tls-cert and --tls-key, or, where something else protects it, "
                "--insecure-plaintext"
            )
        log.warning("plaintext on the network", address=address)
    port = _bind(address, lambda: server.add_insecure_port(address), config.workers)
    return port, _first_call_of_worker(server, address, private) or at_port(address, port)


def _first_call_of_worker(server: Server, address: str, private: str) -> FirstCall | None:
    """Makes a worker listen for the others. At the port, any of them could answer its first call."""
    if not private:
        return None
    _bind(private, lambda: server.add_insecure_port(private))
    return FirstCall(private, address)


@asynccontextmanager
async def probes(config: Config, health: Health) -> AsyncIterator[None]:
    """Answers health checks, and nothing else, in plaintext: those of Kubernetes have neither TLS nor tokens.

    Args:
        config: Its health_address is the address to listen at. If it is empty, nothing listens.
        health: Answers the checks.

    Raises:
        StartError: It cannot listen there.
    """
    address = config.health_address
    if not address:
        yield
        return
    server = Server(options(config), [health], arrivals=Arrivals(config.request_timeout))
    server.add(health_pb2_grpc.add_HealthServicer_to_server, health)
    port = _bind(parse_listening(address), lambda: server.add_insecure_port(address), config.workers)
    await server.start()
    log.info("answering health checks", address=address, port=port)
    try:
        yield
    finally:
        await server.stop(0)


def parse_listening(address: str) -> str:
    """Returns an address to listen at. Raises StartError if it is not an address."""
    try:
        return parse(address, listening=True)
    except InvalidRequest as error:
        raise StartError(f"cannot listen at {address}: {error}") from error


def check_free(address: str) -> None:
    """Raises StartError if nothing can listen at an address: gRPC logs the reason and does not return it."""
    host, _, port = address.rpartition(":")
    if address.startswith(SCHEMES) or int(port) == 0:
        return
    try:
        places = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise StartError(f"cannot listen at {address}: {error.strerror}") from error
    failures = []
    for family, kind, protocol, _, place in places:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does
                probe.bind(place)
        except OSError as error:
            failures.append(error)
    for failure in failures:
        if failure.errno == errno.EADDRINUSE:
            raise StartError(f"cannot listen at {address}: the port is in use by another program") from failure
    if len(failures) == len(places):
        raise StartError(f"cannot listen at {address}: {failures[0].strerror}") from failures[0]


def _bind(address: str, add: Callable[[], int], workers: int = 1) -> int:
    if workers == 1:  # a port of several is reserved for them
        check_free(address)
    try:
        port = add()
    except RuntimeError as error:
        raise StartError(f"cannot listen at {address}: {error}") from error
    if port == 0:
        raise StartError(f"cannot listen at {address}")
    return port
