"""Base of Client and AsyncClient: everything that does not wait for the network."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, NoReturn, TypedDict, TypeVar

import grpc
from resprobe_protos import resprobe_pb2 as pb

from resprobe._pictures.arrays import Layout
from resprobe._pictures.images import count
from resprobe._pictures.ready import Place
from resprobe._progress import Progress
from resprobe._results.inspection import View
from resprobe._results.model import Model
from resprobe._results.result import Result
from resprobe._wire.address import default
from resprobe._wire.channel import Endpoint, FilePath
from resprobe._wire.requests import BlockScale, PreparedRequest
from resprobe._wire.responses import read_model, read_result
from resprobe._wire.status import raise_error
from resprobe.errors import InvalidRequest, ServerError

IN_FLIGHT = 4  # requests of a stream that are under way at a time
DESCRIPTIONS = 64  # descriptions that a client keeps
Channel = TypeVar("Channel", grpc.Channel, grpc.aio.Channel)


class Options(TypedDict, total=False):
    """Keyword arguments of `classify` and `stream` beside `blocks`, for type checkers: the result depends on blocks."""

    model: str
    version: str | int
    top_k: int
    block_scale: BlockScale | None
    views: Sequence[View]
    exit: float | None
    layout: Layout
    preprocess: Place
    timeout: float | None


class ClassifyOptions(Options, total=False):
    """Keyword arguments of `classify` beside `blocks`."""

    request_id: str


class StreamOptions(Options, total=False):
    """Keyword arguments of `stream` beside `blocks`."""

    in_flight: int
    progress: Progress


class Deadline:
    """Moment at which the time for a call is over."""

    def __init__(self, timeout: float | None) -> None:
        """Starts to count; `timeout` is in seconds. If None, there is no limit."""
        self._end = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Returns the seconds that are left, negative if none are. If None, there is no limit."""
        return None if self._end is None else self._end - time.monotonic()


class BaseClient(ABC, Generic[Channel]):
    """Connection to a server, the descriptions that it sent, requests that are ready to send, and their responses."""

    def __init__(
        self,
        address: str | None = None,
        *,
        tls: bool = False,
        ca: FilePath | None = None,
        certificate: tuple[FilePath, FilePath] | None = None,
        token: str | None = None,
    ) -> None:
        """Creates the client; it connects when the first request is sent.

        Args:
            address: HOST:PORT. Requests are spread over several servers with HOST:PORT,HOST:PORT, or with
                dns:///HOST:PORT over all addresses of the host. If None, the environment variable RESPROBE_ADDRESS,
                or localhost:50051.
            tls: Whether to encrypt, and to check the server's certificate against the authorities that come with gRPC.
            ca: PEM file of the authorities to check it against. If None, those that come with gRPC. Implies TLS.
            certificate: PEM files of this client's own certificate and its key, for mutual TLS. Implies TLS.
            token: Token to send with every request; in plaintext only to this machine. If None, none is sent.

        Raises:
            InvalidRequest: The address is not one, a file cannot be read, or the token would cross the network in
                plaintext.
            ServerUnavailable: No host of a list has an address.
        """
        self._address = default() if address is None else address
        self._endpoint = Endpoint(self._address, tls, ca, certificate, token)
        self._channel: Channel = self._open(self._endpoint)
        self._closed = False
        self._descriptions: dict[tuple[str, str, str], Model] = {}

    @abstractmethod
    def _open(self, endpoint: Endpoint) -> Channel:
        """Opens the channel."""

    def __reduce__(self) -> NoReturn:
        """Refuses to be pickled or copied: a connection cannot move. Raises InvalidRequest."""
        raise InvalidRequest(
            "a client cannot be copied or sent to another process: open one there with the same address"
        )

    def __repr__(self) -> str:
        """Returns the address, and whether the client is closed."""
        return f"{type(self).__name__}({self._address!r}{', closed' if self._closed else ''})"

    @contextmanager
    def _calling(self, sources: Sequence[str] = ()) -> Iterator[None]:
        """Turns what gRPC raises in a call into exceptions of resprobe.errors; `sources` are names of images."""
        self._check_open()
        try:
            yield
        except grpc.RpcError as error:
            raise_error(error, self._address, sources)
        except (ValueError, grpc.aio.UsageError):  # the channel was closed meanwhile
            self._check_open()
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidRequest("the client is closed; expected an open one, as inside its `with` block")

    def _ready(self, request: PreparedRequest) -> pb.ClassifyRequest:
        """Returns the message to send: all but classes is read with the description of the version that answers."""
        message = request.message
        if request.parts:
            message.describe = True
            known = list(self._descriptions)
            message.known_digests[:] = {digest for name, _, digest in known if message.model in ("", name)}
        return message

    def _read(self, response: pb.ClassifyResponse, request: PreparedRequest) -> Result:
        """Reads a response to a request. Raises ServerError if the server has not described what it sent."""
        model = self._describe(response) if request.parts else None
        return read_result(request.complete(response), model, request.parts)

    def _describe(self, response: pb.ClassifyResponse) -> Model:
        """Returns the description of the version that answered, which is in the response or was in an earlier one."""
        key = (response.model, response.version, response.digest)
        if not response.HasField("description"):
            if (known := self._descriptions.get(key)) is not None:
                return known
            raise ServerError(
                f"{self._address} sent statistics of model {response.model} version {response.version} without its "
                "description, so nothing tells which blocks they are of; expected a server of this client's version"
            )
        model = read_model(response.description)
        while len(self._descriptions) >= DESCRIPTIONS and key not in self._descriptions:
            self._descriptions.pop(next(iter(self._descriptions), ("", "", "")), None)
        self._descriptions[key] = model
        return model


def total(batches: object) -> int | None:
    """Counts the images of a sequence of batches. If it is not a sequence, returns None."""
    return sum(map(count, batches)) if isinstance(batches, Sequence) else None
