"""Answers scrapes of Prometheus over HTTP, on a port of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from resprobe._wire.address import SCHEMES

from resprobe_server.binding import check_free, parse_listening
from resprobe_server.errors import StartError

log = structlog.get_logger()


@contextmanager
def listen(address: str, registry: CollectorRegistry) -> Iterator[None]:
    """Answers scrapes while the context is open, on threads of its own.

    Args:
        address: HOST:PORT to listen on. If it is empty, nothing is done.
        registry: Metrics.

    Raises:
        StartError: The address is not HOST:PORT, or the server cannot listen there.
    """
    if not address:
        yield
        return
    if address.startswith(SCHEMES):
        raise StartError(f"cannot serve metrics at {address}: expected HOST:PORT, for example 127.0.0.1:9091")
    host, _, port = parse_listening(address).rpartition(":")
    check_free(address)
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise StartError(f"cannot listen at {address}: {error.strerror or error}") from error
    log.info("metrics", address=address, port=server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
