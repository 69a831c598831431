"""resprobe.v1.ResidualService: translates between messages and what the rest of the server works with."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt
from resprobe.images import Encoded, Pixels
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import resprobe_pb2_grpc

from resprobe_server.authorization import require
from resprobe_server.batching import Outcome
from resprobe_server.decode import Array, Format, decode, stack
from resprobe_server.errors import InvalidRequest, NotReady, NotSupported
from resprobe_server.models import BLOCKS, IMAGE, LOGITS, Models, Version
from resprobe_server.multiplex import Multiplexer
from resprobe_server.status import Context, abort, duration, make_status

DEFAULT_TOP_K = 5


class ResidualService(resprobe_pb2_grpc.ResidualServiceServicer):
    """See resprobe.proto."""

    def __init__(
        self, models: Models, decoders: Executor, max_pixels: int, max_images: int, max_in_stream: int
    ) -> None:
        """Makes the service.

        Args:
            models: To answer with.
            decoders: Where pictures are decoded.
            max_pixels: Of an encoded picture.
            max_images: Of a request.
            max_in_stream: Requests of one stream that are worked on at a time.
        """
        self._models, self._decoders, self._max_pixels = models, decoders, max_pixels
        self._max_images, self._max_in_stream = max_images, max_in_stream
        self._streams: set[Multiplexer[pb.ClassifyRequest, pb.ClassifyResponse]] = set()
        self._draining = False

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        """See resprobe.proto."""
        try:
            return await self._classify(request, _deadline(context))
        except Exception as error:
            await abort(context, error, request.id)

    async def ClassifyStream(
        self, requests: AsyncIterator[pb.ClassifyRequest], context: Context
    ) -> AsyncIterator[pb.ClassifyResponse]:
        """See resprobe.proto."""
        deadline = _deadline(context)

        async def answer(request: pb.ClassifyRequest) -> pb.ClassifyResponse:
            try:
                return await self._classify(request, deadline)
            except Exception as error:
                return pb.ClassifyResponse(id=request.id, error=make_status(error, context, request.id))

        stream = Multiplexer(answer, self._max_in_stream)
        self._streams.add(stream)
        try:
            async for response in stream.run(requests):
                yield response
        finally:
            self._streams.discard(stream)
        if self._draining:
            await abort(context, NotReady("the server is shutting down; what it had read is answered"), "")

    def drain(self) -> None:
        """Ends the streams after what they have read so far."""
        self._draining = True
        for stream in self._streams:
            stream.close()

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """See resprobe.proto."""
        try:
            return pb.ListModelsResponse(models=[version.description for version in self._models.all()])
        except Exception as error:
            await abort(context, error, "")

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.Model:
        """See resprobe.proto."""
        try:
            return self._models.get(request.name, request.version).description
        except Exception as error:
            await abort(context, error, "")

    async def _classify(self, request: pb.ClassifyRequest, deadline: float) -> pb.ClassifyResponse:
        version = self._models.get(request.model, request.version)
        top_k = request.top_k if request.HasField("top_k") else DEFAULT_TOP_K
        if top_k < 1:
            raise InvalidRequest(f"top_k is {top_k}; expected at least 1", "top_k")
        if request.view not in pb.View.values():
            raise InvalidRequest(f"view is {request.view}; expected VIEW_BASIC or VIEW_BLOCKS", "view")
        if request.view == pb.VIEW_BLOCKS or request.block_scale:
            require("analyse")
        if request.block_scale:
            raise NotSupported(f"model {version.description.name} has no lesion graph: block_scale cannot be applied")
        batcher = version.batcher(request.view == pb.VIEW_BLOCKS)
        images = await self._images(request.images, version.images())
        outcome = await batcher.submit({IMAGE: images}, deadline)
        return _response(request.id, version, outcome, top_k)

    async def _images(self, images: Sequence[pb.Image], wanted: Format) -> Array:
        if not images:
            raise InvalidRequest("images is empty; expected at least one image", "images")
        if len(images) > self._max_images:
            raise InvalidRequest(f"images has {len(images)} images; expected at most {self._max_images}", "images")
        sources = [_source(image, f"images[{index}]") for index, image in enumerate(images)]
        stacked = stack(sources, wanted)
        if stacked is not None:
            return stacked
        loop = asyncio.get_running_loop()
        jobs = [loop.run_in_executor(self._decoders, decode, source, wanted, self._max_pixels) for source in sources]
        return np.stack(await asyncio.gather(*jobs))


def _source(image: pb.Image, name: str) -> Encoded | Pixels:
    kind = image.WhichOneof("source")
    if kind == "pixels":
        pixels = image.pixels
        return Pixels(pixels.height, pixels.width, pixels.channels, pixels.data, name)
    if kind == "encoded":
        return Encoded(image.encoded, name)
    raise InvalidRequest(f"{name} has neither encoded nor pixels", name)


def _response(identifier: str, version: Version, outcome: Outcome, top_k: int) -> pb.ClassifyResponse:
    model = version.description
    response = pb.ClassifyResponse(
        id=identifier,
        model=model.name,
        version=model.version,
        batch_size=outcome.batch_size,
        provider=model.serving.provider,
        timings=pb.Timings(queue=duration(outcome.queued), inference=duration(outcome.ran)),
    )
    indices, probabilities = best_classes(outcome.outputs[LOGITS], top_k)
    blocks = outcome.outputs.get(BLOCKS)
    for row, (index_row, probability_row) in enumerate(zip(indices.tolist(), probabilities.tolist(), strict=True)):
        result = response.results.add()
        for index, probability in zip(index_row, probability_row, strict=True):
            result.classes.add(index=index, label=model.classes[index], probability=probability)
        if blocks is not None:
            for name, values in zip(model.statistics, blocks[row].T.tolist(), strict=True):
                result.statistics.add(name=name, values=values)
    return response


def best_classes(logits: npt.NDArray[Any], top_k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The best classes of each image and their probabilities.

    Args:
        logits: float [n, classes].
        top_k: How many; more than there are means all.

    Returns:
        Indices and probabilities, both [n, k], best first; ties go to the smaller index.
    """
    logits = logits.astype(np.float32, copy=False)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return order, np.take_along_axis(probabilities, order, axis=1)


def _deadline(context: Context) -> float:
    """On the clock of time.monotonic; infinite if the caller set none."""
    remaining = context.time_remaining()
    return math.inf if remaining is None else time.monotonic() + remaining
