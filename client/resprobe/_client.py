"""Client: what a server offers, as blocking calls. AsyncClient is its twin; what does not wait is in _base.py."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from types import TracebackType
from typing import Literal, Self, Unpack, overload

import grpc
import numpy.typing as npt
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import resprobe_pb2_grpc

from resprobe._base import IN_FLIGHT, BaseClient, ClassifyOptions, Deadline, StreamOptions, total
from resprobe._lesion_run import LesionRun
from resprobe._pictures.arrays import Layout
from resprobe._pictures.images import Images
from resprobe._pictures.ready import Place
from resprobe._progress import Progress, shown
from resprobe._results.counters import Counters
from resprobe._results.inspection import View
from resprobe._results.lesions import Lesions
from resprobe._results.model import Model
from resprobe._results.result import ProbedResult, Result
from resprobe._wire import counters, health
from resprobe._wire.channel import TIMEOUT, Endpoint
from resprobe._wire.requests import BlockScale, PreparedRequest, RequestOptions, model_request
from resprobe._wire.responses import read_model
from resprobe._wire.rollout import Rollout
from resprobe.errors import ModelNotFound


class Client(BaseClient[grpc.Channel]):
    """Connection to a server. Use it as a context, or call `close`. Threads may share it."""

    def _open(self, endpoint: Endpoint) -> grpc.Channel:
        channel = endpoint.open()
        self._stub = resprobe_pb2_grpc.ResidualServiceStub(channel)
        return channel

    @cached_property
    def rollout(self) -> Rollout:
        """Candidates of the server: new versions that are compared with those that serve."""
        return Rollout(self._channel, self._calling)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; what is under way is cancelled."""
        self._closed = True
        self._channel.close()

    def health(self, model: str | None = None, *, timeout: float | None = TIMEOUT) -> health.ServingStatus:
        """Asks whether the server is serving, or one of its models.

        Args:
            model: NAME or NAME/VERSION. If None, the server as a whole.
            timeout: Seconds. If None, no limit.

        Raises:
            ModelNotFound: The server has no model of this name or version.
        """
        deadline, which = Deadline(timeout), model_request(model or "")
        check = self._channel.unary_unary(health.METHOD, health.Request.SerializeToString, health.Response.FromString)
        try:
            with self._calling():
                response = check(health.Request(service=which.name), timeout=deadline.left())
        except ModelNotFound as error:  # the health service does not say what there is
            raise ModelNotFound(f"{self._address} serves no model {which.name!r}", status=error.status) from error
        if which.version:
            self.model(which.name, which.version, timeout=deadline.left())
        return health.read_status(response)

    def counters(self, *, timeout: float | None = TIMEOUT) -> list[Counters]:
        """Asks what each version has done since it was loaded.

        Where an address stands for several servers, one of them answers.

        Args:
            timeout: Seconds. If None, no limit.
        """
        ask = self._channel.unary_unary(
            counters.METHOD, counters.Request.SerializeToString, counters.Response.FromString
        )
        with self._calling():
            return counters.read_counters(ask(counters.Request(), timeout=timeout))

    def models(self, *, timeout: float | None = TIMEOUT) -> list[Model]:
        """Lists every model version that the server serves, by name and version."""
        with self._calling():
            response = self._stub.ListModels(pb.ListModelsRequest(), timeout=timeout)
        return [read_model(message) for message in response.models]

    def model(self, name: str = "", version: str | int = "", *, timeout: float | None = TIMEOUT) -> Model:
        """Describes one model version.

        Args:
            name: NAME or NAME/VERSION. If empty, the only model that is served.
            version: Version. If empty, the one in `name`, or the default version.
            timeout: Seconds. If None, no limit.
        """
        request = model_request(name, version)
        with self._calling():
            return read_model(self._stub.GetModel(request, timeout=timeout))

    @overload
    def classify(
        self, images: Images, *, blocks: Literal[True], **options: Unpack[ClassifyOptions]
    ) -> ProbedResult: ...
    @overload
    def classify(self, images: Images, *, blocks: bool = ..., **options: Unpack[ClassifyOptions]) -> Result: ...
    def classify(
        self,
        images: Images,
        *,
        model: str = "",
        version: str | int = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        views: Sequence[View] = (),
        exit: float | None = None,
        layout: Layout = "nhwc",
        preprocess: Place = "server",
        request_id: str = "",
        timeout: float | None = TIMEOUT,
    ) -> Result:
        """Classifies images.

        Args:
            images: uint8 array or torch tensor [n, height, width, channels] or [height, width, channels], a path, a PIL
                image, the bytes of a JPEG, PNG, WebP or BMP file, or a list of them. Pictures are preprocessed as the
                model declares (Model.preprocessing); arrays must have its size then. If it declares nothing, images of
                another size than the model's are resized. Result.resized_from says which.
            model: NAME or NAME/VERSION. If empty, the only model that is served.
            version: Version such as 1 or "1". If empty, the one in `model`, or the default version.
            blocks: Whether to return the statistics of every residual block.
            top_k: Number of classes to return for each image, at least 1; more than there are means all.
            block_scale: Factor on the branch of each block, [blocks] or [n, blocks]: 1 intact, 0 removed. Or a dict
                such as {"stage1.block0": 0} of the factors of some blocks by their names, the others being intact.
            views: What else to return: "maps", norms of every block at each position; "channels", norms in each
                channel; "readouts", scores as if the net ended after a block; "cam", class activation maps.
            exit: Threshold of an early exit, above 0, at most 1: an image leaves the net where the probability of its
                best class is over it (Result.exits), which saves time. If None, the whole net answers.
            layout: Order of the axes of arrays and tensors: "nhwc", or "nchw" if channels come first.
            preprocess: Place where pictures are preprocessed: "server", or "client" to send only the pixels that the
                model takes. Both give the same pixels.
            request_id: Id of the request in the server's log. It also decides which version answers where a candidate
                answers a share of the requests (`--split`); without an id, the default version does.
            timeout: Seconds for the whole call. If None, no limit.

        Raises:
            Error: A request failed; resprobe.errors has the tree.
        """
        deadline = Deadline(timeout)
        options = RequestOptions(
            model, version, blocks, top_k, block_scale, layout, preprocess, None, views, request_id, exit
        )
        request = self._resolve(options, timeout).prepare(images)
        return self._receive(self._send(request, deadline.left()), request)

    @overload
    def stream(
        self, batches: Iterable[Images], *, blocks: Literal[True], **options: Unpack[StreamOptions]
    ) -> Iterator[ProbedResult]: ...
    @overload
    def stream(
        self, batches: Iterable[Images], *, blocks: bool = ..., **options: Unpack[StreamOptions]
    ) -> Iterator[Result]: ...
    def stream(
        self,
        batches: Iterable[Images],
        *,
        model: str = "",
        version: str | int = "",
        blocks: bool = False,
        top_k: int = 5,
        block_scale: BlockScale | None = None,
        views: Sequence[View] = (),
        exit: float | None = None,
        layout: Layout = "nhwc",
        preprocess: Place = "server",
        timeout: float | None = TIMEOUT,
        in_flight: int = IN_FLIGHT,
        progress: Progress = False,
    ) -> Iterator[Result]:
        """Classifies many batches: one request for each, several at a time, results in the order of the batches.

        A request is sent again if the server was unavailable for a moment. The arguments that `classify` has too mean
        the same here.

        Args:
            batches: Images of each request; the next one is read when a result is consumed.
            model: Model to ask.
            version: Version to ask.
            blocks: Whether to return the statistics of every residual block.
            top_k: Number of classes to return for each image.
            block_scale: Factors on the branches of blocks.
            views: What else to return.
            exit: Threshold of an early exit.
            layout: Order of the axes of arrays and tensors.
            preprocess: Place where pictures are preprocessed.
            timeout: Seconds for each request. If None, no limit.
            in_flight: Number of requests under way at a time.
            progress: If True, a bar on standard error; or a function that is called after each response with the number
                of images that are done and of all images, None if `batches` is not a sequence.
        """
        options = RequestOptions(model, version, blocks, top_k, block_scale, layout, preprocess, views=views, exit=exit)
        options = self._resolve(options, timeout)
        return self._stream(map(options.prepare, batches), timeout, in_flight, progress, total(batches))

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
        layout: Layout = "nhwc",
        progress: bool | Callable[[int, int], object] = False,
        timeout: float | None = TIMEOUT,
        in_flight: int = IN_FLIGHT,
    ) -> Lesions:
        """Measures the accuracy without every single block, and without random blocks. Arrays are faster than files.

        Args:
            images: Images, as for `classify`.
            labels: Integers [n], the index of each image's class in `classes`.
            classes: Names of the classes, which are found among the model's by name. If None, the model's own.
            model: NAME or NAME/VERSION. If empty, the only model that is served.
            version: Version. If empty, the one in `model`, or the default version.
            random: Numbers of blocks to remove at random, for example range(1, 11).
            draws: Random choices of blocks for each number in `random`.
            seed: Seed of the random choices.
            layout: Order of the axes of arrays and tensors: "nhwc", or "nchw" if channels come first.
            progress: As for `stream`; every image counts once for each lesion.
            timeout: Seconds for each request. If None, no limit.
            in_flight: Number of requests under way at a time.

        Raises:
            StatisticsUnavailable: The model has no blocks, or no graph that can scale them.
        """
        described = self.model(model, version, timeout=timeout)
        run = LesionRun(described, images, labels, classes, random, draws, seed, layout)
        for result in self._stream(run.requests(), timeout, in_flight, progress, run.total):
            run.add(result)
        return run.finish()

    def _resolve(self, options: RequestOptions, timeout: float | None) -> RequestOptions:
        """Gets the model's description if it is needed; the very version that is described is asked then."""
        if not options.needs_description:
            return options
        return options.resolve(self.model(options.model, options.version, timeout=timeout))

    def _stream(
        self,
        requests: Iterable[PreparedRequest],
        timeout: float | None,
        in_flight: int,
        progress: Progress | Callable[[int, int], object],
        images: int | None,
    ) -> Iterator[Result]:
        waiting: deque[tuple[grpc.Future[pb.ClassifyResponse], PreparedRequest]] = deque()
        done = 0
        with shown(progress, "images") as report:
            try:
                for request in chain(requests, [None]):  # None: no more to send
                    if request is not None:
                        waiting.append((self._send(request, timeout), request))
                    while waiting and (request is None or len(waiting) >= in_flight):
                        future, sent = waiting.popleft()
                        result = self._receive(future, sent)
                        done += len(result)
                        report(done, images)
                        yield result
            finally:
                for future, _ in waiting:
                    future.cancel()

    def _send(self, request: PreparedRequest, timeout: float | None) -> "grpc.Future[pb.ClassifyResponse]":
        with self._calling():
            return self._stub.Classify.future(self._ready(request), timeout=timeout)

    def _receive(self, future: "grpc.Future[pb.ClassifyResponse]", request: PreparedRequest) -> Result:
        with self._calling(request.sources):
            response = future.result()
        return self._read(response, request)
