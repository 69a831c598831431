"""Opens channels to a server: options, retries, TLS, and the token that names the caller."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from resprobe._wire import replicas
from resprobe._wire.address import UNIX, is_loopback, parse
from resprobe.errors import InvalidRequest

TIMEOUT = 30.0  # seconds for a call
FilePath: TypeAlias = str | os.PathLike[str]
_RETRY = {"maxAttempts": 4, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2}
_METHODS = {"name": [{"service": replicas.SERVICE}], "retryPolicy": {**_RETRY, "retryableStatusCodes": ["UNAVAILABLE"]}}
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),  # the server has a limit and says so
]


@dataclass(frozen=True)
class Endpoint:
    """Address of a server, or of several, and what is needed to reach it.

    Attributes:
        address: HOST:PORT, HOST:PORT,HOST:PORT, or dns:///HOST:PORT.
        tls: Whether to encrypt, and to check the server's certificate.
        ca: PEM file of the authorities to check it against. If None, those that come with gRPC. Implies TLS.
        certificate: PEM files of the client's own certificate and its key, for mutual TLS. Implies TLS.
        token: Token to send with every call; in plaintext only to this machine. If None, none is sent.
    """

    address: str
    tls: bool = False
    ca: FilePath | None = None
    certificate: tuple[FilePath, FilePath] | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        """Checks the address. Raises InvalidRequest if it is not one."""
        parse(self.address)

    def open(self) -> grpc.Channel:
        """Opens a channel, which connects with the first call.

        Raises:
            InvalidRequest: A file cannot be read, or the token would cross the network in plaintext.
            ServerUnavailable: No host of a list has an address.
        """
        credentials = self._credentials()
        target, options = self._target()
        if credentials is None:
            return grpc.insecure_channel(target, options)
        return grpc.secure_channel(target, credentials, options)

    def open_async(self) -> grpc.aio.Channel:
        """Opens a channel for asyncio, which connects with the first call.

        Raises:
            InvalidRequest: As above, or no event loop runs in this thread.
            ServerUnavailable: No host of a list has an address.
        """
        credentials = self._credentials()
        target, options = self._target()
        try:
            if credentials is None:
                return grpc.aio.insecure_channel(target, options)
            return grpc.aio.secure_channel(target, credentials, options)
        except RuntimeError as error:  # gRPC needs the event loop of this thread
            raise InvalidRequest(f"an AsyncClient is made inside a coroutine, where its loop runs: {error}") from error

    def _target(self) -> tuple[str, list[tuple[str, Any]]]:
        """Returns what gRPC resolves, and the options of the channel."""
        return replicas.target(self.address), [*_OPTIONS, *replicas.options(self.address, _METHODS)]

    def _credentials(self) -> grpc.ChannelCredentials | None:
        """Returns the credentials, or None for plaintext."""
        if self.tls or self.ca or self.certificate:
            own, key = map(_read, self.certificate) if self.certificate else (None, None)
            credentials = grpc.ssl_channel_credentials(_read(self.ca) if self.ca else None, key, own)
        elif self.token is None:
            return None
        elif is_loopback(self.address):
            unix = self.address.startswith(UNIX)
            kind = grpc.LocalConnectionType.UDS if unix else grpc.LocalConnectionType.LOCAL_TCP
            credentials = grpc.local_channel_credentials(kind)  # plaintext; fails if the other side is not local
        else:
            raise InvalidRequest(
                f"the token would cross the network to {self.address} in plaintext: use TLS "
                "(tls=True or ca=FILE, --tls or --ca FILE)"
            )
        if self.token is None:
            return credentials
        return grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(self.token))


def _read(path: FilePath) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read {os.fspath(path)}: {error.strerror}") from error
