"""Options that commands share: how to reach a server, which model to ask, and how results are printed."""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import tyro
from rich.console import Console

from resprobe._async_client import AsyncClient
from resprobe._client import Client
from resprobe._pictures.ready import Place
from resprobe._wire.address import default
from resprobe.errors import InvalidRequest

WIDE = 10_000  # columns where a program reads the output: it gets whole names
Files: TypeAlias = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[FILE ...]")]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leaves a broken pipe to app.py, which knows the exit code; rich's own is always 1."""
        raise  # called where it is handled


_PERSON = sys.stdout is not None and sys.stdout.isatty()  # None: closed by the caller
console = _Console(highlight=False, soft_wrap=True, width=None if _PERSON else WIDE)


def print_notes(notes: Iterable[str]) -> None:
    """Prints sentences on what was assumed, below a table."""
    for note in notes:
        console.print(f"note: {note}", markup=False)


@dataclass(frozen=True)
class Connection:
    """How to reach the server."""

    address: str = default()
    """HOST:PORT of the server, or unix:PATH. HOST:PORT,HOST:PORT spreads requests over several servers, and
    dns:///HOST:PORT over all addresses of the host. The environment variable RESPROBE_ADDRESS changes the default."""
    tls: bool = False
    """Encrypt the connection, and check the server's certificate against the authorities that come with gRPC."""
    ca: Path | None = Path(os.environ["RESPROBE_CA"]) if "RESPROBE_CA" in os.environ else None
    """PEM file of the authorities to check the server's certificate against. Implies --tls. The environment variable
    RESPROBE_CA changes the default."""
    cert: Path | None = None
    """PEM file of the client's certificate, for mutual TLS. Needs --key."""
    key: Path | None = None
    """PEM file of the private key of --cert."""
    token_file: Path | None = None
    """File with the token to send with every request. Default: the environment variable RESPROBE_TOKEN, if it is
    set."""

    def client(self) -> Client:
        """Creates a client. Raises InvalidRequest if options do not go together or a file cannot be read."""
        return Client(self.address, tls=self.tls, ca=self.ca, certificate=self._certificate(), token=self._token())

    def async_client(self) -> AsyncClient:
        """Creates a client inside a coroutine. Raises InvalidRequest as `client` does."""
        return AsyncClient(self.address, tls=self.tls, ca=self.ca, certificate=self._certificate(), token=self._token())

    def _certificate(self) -> tuple[Path, Path] | None:
        if (self.cert is None) != (self.key is None):
            raise InvalidRequest("--cert and --key go together: expected both or neither")
        return (self.cert, self.key) if self.cert and self.key else None

    def _token(self) -> str | None:
        """Returns the token to send. It is never an option, because every user of a machine sees command lines."""
        if self.token_file is None:
            return os.environ.get("RESPROBE_TOKEN") or None
        try:
            return self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"cannot read a token from {self.token_file}: {error}") from error


@dataclass(frozen=True)
class Connected:
    """Options of the commands that ask a server."""

    json: bool = False
    """Print JSON."""
    connection: tyro.conf.OmitArgPrefixes[Connection] = Connection()

    def client(self) -> Client:
        """Creates a client of the server. Raises InvalidRequest as `Connection.client` does."""
        return self.connection.client()

    def show(self, value: object) -> None:
        """Prints a value as JSON."""
        print(json.dumps(value))


@dataclass(frozen=True)
class Selection(Connected):
    """Options of the commands that ask a model."""

    model: str = ""
    """NAME or NAME/VERSION of the model. Default: the only model that is served."""
    version: str = ""
    """Version of the model. Default: the version in --model, or the highest."""


@dataclass(frozen=True)
class Preprocessed(Selection):
    """Options of the commands that ask a model about picture files."""

    preprocess: Place = "server"
    """Place where picture files are resized and cut for the model. client: here, which sends fewer bytes of large
    pictures. The pixels are the same."""
