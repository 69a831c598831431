"""Client: what a server offers, as blocking calls. Its twin is in _async_client.py; what does no I/O is elsewhere."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import resprobe_pb2_grpc

from resprobe._lesions import Experiment, Lesions
from resprobe._pictures.images import Images
from resprobe._wire.address import default
from resprobe._wire.channel import ClosedStub, Connected, Endpoint, FilePath
from resprobe._wire.requests import BlockScale, Call, Options, factors, model_request
from resprobe._wire.responses import Model, Result, read_model, read_result
from resprobe._wire.status import raise_error

TIMEOUT = 30.0  # seconds for a request
IN_FLIGHT = 4  # requests of a stream that are under way at a time


class Client(Connected):
    """A connection to a server. Use it as a context, or call `close`. Threads may share it."""

    def __init__(
        self,
        address: str | None = None,
        *,
        tls: bool = False,
        ca: FilePath | None = None,
        certificate: tuple[FilePath, FilePath] | None = None,
        token: str | None = None,
    ) -> None:
        """Connects when the first request is sent.

        Args:
            address: HOST:PORT. If None, what the environment variable RESPROBE_ADDRESS says, or localhost:50051.
            tls: Encrypt, and check the server's certificate against the authorities that come with gRPC.
            ca: PEM file of the authorities to check it against instead. Implies TLS.
            certificate: PEM files of this caller's own certificate and its key, for mutual TLS. Implies TLS.
            token: Sent with every request; over plaintext only where it stays on this machine.

        Raises:
            InvalidRequest: This is not an address, a file cannot be read, or the token would cross the network in
                plaintext.
        """
        self._address = default() if address is None else address
        self._channel = Endpoint(self._address, tls, ca, certificate, token).open()
        self._stub: Any = resprobe_pb2_grpc.ResidualServiceStub(self._channel)
        self._models: dict[tuple[str, str], Model] = {}

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._stub = ClosedStub()
        self._channel.close()

    def models(self, *, timeout: float | None = TIMEOUT) -> list[Model]:
        """Every model version that the server serves, by name and version."""
        try:
            response = self._stub.ListModels(pb.ListModelsRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise_error(error, self._address)
        return [read_model(message) for message in response.models]

    def model(self, name: str = "", version: str | int = "", *, timeout: float | None = TIMEOUT) -> Model:
        """One model version; empty: the only model there is, and its default version."""
        try:
            return read_model(self._stub.GetModel(model_request(name, version), timeout=timeout))
        except grpc.RpcError as error:
            raise_error(error, self._address)

    def classify(
        self,
        images: Images,
        *,
        model: str = "",
        version: str | int = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        timeout: float | None = TIMEOUT,
    ) -> Result:
        """Classifies images.

        Args:
            images: uint8 array [n, height, width, channels] or [height, width, channels], a path, a PIL image, the
                bytes of a JPEG, PNG, WebP or BMP file, or a list of these. Images of another size than the model's
                are resized by the server; Result.resized_from says which.
            model: Name; empty: the only one there is.
            version: Empty: the default.
            blocks: Whether to return the statistics of every residual block.
            top_k: Classes to return for each image, at least 1; more than there are means all.
            block_scale: Factor on the branch of each block, [blocks] or [n, blocks]: 1 intact, 0 removed. Or a dict
                of the factors of some blocks by their names, the others being intact.
            timeout: Seconds. If None, no limit.

        Raises:
            Error: See the tree in resprobe.errors.
        """
        call = self._options(model, version, blocks, top_k, block_scale, timeout).call(images)
        return self._receive(self._stub.Classify.future(call.message, timeout=timeout), call, blocks)

    def stream(
        self,
        batches: Iterable[Images],
        *,
        model: str = "",
        version: str | int = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        timeout: float | None = TIMEOUT,
        in_flight: int = IN_FLIGHT,
    ) -> Iterator[Result]:
        """Classifies a data set: one request for each batch, several at a time, results in the order of the batches.

        Each request is sent again by itself if the server was unavailable for a moment.

        Args:
            batches: Each is what `classify` takes; taken as results are consumed.
            model: As in `classify`, like all that follow.
            version: …
            blocks: …
            top_k: …
            block_scale: …
            timeout: Of one request.
            in_flight: Requests under way at a time.
        """
        options = self._options(model, version, blocks, top_k, block_scale, timeout)
        return self._stream(map(options.call, batches), blocks, timeout, in_flight)

    def lesions(
        self,
        images: Images,
        labels: npt.ArrayLike,
        *,
        classes: Sequence[str] | None = None,
        model: str = "",
        version: str | int = "",
        random: Sequence[int] = (),
        draws: int = 5,
        seed: int = 0,
        report: Callable[[int, int], None] | None = None,
        timeout: float | None = TIMEOUT,
        in_flight: int = IN_FLIGHT,
    ) -> Lesions:
        """Removes every single block, and some numbers of random blocks, and sees what a model is worth then.

        Every image is sent once for each of these lesions, so arrays are better than files, which the server would
        decode each time.

        Args:
            images: As in `classify`.
            labels: Integers [n], the index of each image's class in `classes`.
            classes: Names of the classes, which are found among the model's by name. If None, the model's own.
            model: As in `classify`.
            version: As in `classify`.
            random: Numbers of blocks to remove at random, for example range(1, 11).
            draws: Random choices of blocks for each of these numbers.
            seed: Of these choices.
            report: Told after each answer how many images were answered, and of how many.
            timeout: Of one request.
            in_flight: Requests under way at a time.

        Raises:
            StatisticsUnavailable: The model has no blocks, or no graph that can scale them.
            Error: See the tree in resprobe.errors.
        """
        experiment = Experiment(
            self.model(model, version, timeout=timeout), images, labels, random, draws, seed, classes
        )
        for result in self._stream(experiment.calls(), False, timeout, in_flight):
            experiment.add(result)
            if report is not None:
                report(experiment.done, experiment.total)
        return experiment.finish()

    def _options(
        self,
        model: str,
        version: str | int,
        blocks: bool,
        top_k: int,
        scale: BlockScale | None,
        timeout: float | None,
    ) -> Options:
        """Names of blocks are looked up in the model's description, and that very version is asked."""
        if isinstance(scale, Mapping):
            described = self.model(model, version, timeout=timeout)
            model, version, scale = described.name, described.version, factors(scale, described)
        return Options(model, version, blocks, top_k, scale)

    def _stream(self, calls: Iterable[Call], blocks: bool, timeout: float | None, in_flight: int) -> Iterator[Result]:
        waiting: deque[tuple[Any, Call]] = deque()
        try:
            for call in calls:
                waiting.append((self._stub.Classify.future(call.message, timeout=timeout), call))
                if len(waiting) >= in_flight:
                    yield self._receive(*waiting.popleft(), blocks)
            while waiting:
                yield self._receive(*waiting.popleft(), blocks)
        finally:
            for future, _ in waiting:
                future.cancel()

    def _receive(self, future: Any, call: Call, blocks: bool) -> Result:
        try:
            response: pb.ClassifyResponse = future.result()
        except grpc.RpcError as error:
            raise_error(error, self._address, call.sources)
        return read_result(response, self._describe(response.model, response.version) if blocks else None)

    def _describe(self, name: str, version: str) -> Model:
        """Descriptions do not change, so each is fetched once."""
        if (name, version) not in self._models:
            self._models[name, version] = self.model(name, version)
        return self._models[name, version]
