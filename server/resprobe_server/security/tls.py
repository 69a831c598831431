"""TLS of the server: its certificate and the authorities of its clients, read again when the files change."""

import ssl
from pathlib import Path
from typing import NoReturn

import grpc
import structlog

from resprobe_server.errors import StartError
from resprobe_server.security.reloading import Reread
from resprobe_server.security.validity import complaint

log = structlog.get_logger()


def server_credentials(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """Makes credentials that follow their files: a new connection gets what is in them at that time.

    Args:
        certificate: PEM file of the server's certificate, followed by those that it was signed with.
        key: PEM file of its key, not encrypted.
        client_ca: PEM file of the authorities of clients. If given, a client must present a certificate (mutual TLS).

    Raises:
        StartError: A file cannot be read or used, or the key belongs to another certificate.
    """
    paths = [path for path in (certificate, key, client_ca) if path is not None]
    files = Reread(paths, lambda: _read(certificate, key, client_ca))
    given = files.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        """Returns new credentials before a handshake. If None, those that gRPC has still hold."""
        nonlocal given
        before, given = given, files.current()
        return None if given is before else given

    return grpc.dynamic_ssl_server_credentials(
        given,
        changed,  # type: ignore[arg-type]  # the stubs leave None out
        require_client_authentication=client_ca is not None,
    )


def _read(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCertificateConfiguration:
    chain, secret = _bytes("certificate", certificate), _bytes("key", key)
    roots = None if client_ca is None else _bytes("clients' authorities", client_ca)
    # gRPC says nothing about files that it cannot use, until a client fails to connect.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_refuse_encrypted)
    except OSError as error:
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            raise StartError(f"the key in {key} does not belong to the certificate in {certificate}") from error
        raise StartError(f"{certificate} and {key} are not a certificate and its key in PEM: {error}") from error
    if wrong := complaint(context, certificate):
        log.warning("clients will refuse the certificate", file=str(certificate), reason=wrong)
    if roots is not None:
        try:
            context.load_verify_locations(cadata=roots.decode("ascii", "replace"))
        except ssl.SSLError as error:
            raise StartError(f"{client_ca} holds no certificates in PEM: {error}") from error
    return grpc.ssl_server_certificate_configuration([(secret, chain)], roots)


def _bytes(what: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"cannot read the {what} in {path}: {error.strerror}") from error


def _refuse_encrypted() -> NoReturn:
    raise StartError("the key of the certificate is encrypted; gRPC reads it only without encryption")
