"""resprobe.v1.ResidualService: translates between messages and what the rest of the server works with."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import grpc
import numpy as np
from resprobe._pictures.images import Encoded, Pixels, Size
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import resprobe_pb2_grpc
from resprobe_protos.contract import BLOCK_SCALE, BLOCKS, IMAGE

from resprobe_server.config import Config
from resprobe_server.errors import InvalidRequest
from resprobe_server.execution.session import Arrays
from resprobe_server.images.decode import Array, Decoded, Format, check_images, read_scale
from resprobe_server.images.pool import Decoders
from resprobe_server.models.registry import Models
from resprobe_server.models.version import Version
from resprobe_server.rpc.context import CallContext, RequestContext
from resprobe_server.rpc.request_stream import Each
from resprobe_server.rpc.status import CODES, deadline_of, make_status, set_duration
from resprobe_server.scheduling.batcher import Batcher
from resprobe_server.scheduling.request import Outcome
from resprobe_server.security.principal import require

if TYPE_CHECKING:
    from resprobe_server.observability.traces import Tracing

DEFAULT_TOP_K = 5
MOST_VALUES = 16_384  # in a response that is made on the event loop: a few milliseconds
VIEWS = frozenset(pb.View.values())


class ResidualService(resprobe_pb2_grpc.ResidualServiceServicer):
    """Answers the RPC of this name; see resprobe.proto."""

    def __init__(self, models: Models, decoders: Decoders, config: Config, tracing: "Tracing | None" = None) -> None:
        """Makes the service.

        Args:
            models: To answer with.
            decoders: Where pictures are decoded.
            config: Its limits on images, pixels and streams.
            tracing: Traces requests. If None, there are no traces.
        """
        self._models, self._decoders, self._config, self._tracing = models, decoders, config, tracing

    async def Classify(self, request: pb.ClassifyRequest, context: CallContext) -> pb.ClassifyResponse:
        """Answers the RPC of this name; see resprobe.proto."""
        return await self._classify(request, context)

    def ClassifyStream(self, requests: object, context: CallContext) -> NoReturn:
        """Takes its requests, each of which is answered by itself as `each` says; see resprobe.proto."""
        raise NotImplementedError

    def each(self) -> Each:
        """How ClassifyStream answers each of its requests."""
        answer = self._tracing.request(self._classify) if self._tracing else self._classify
        return Each(self.classify_directly, answer, _refuse, self._config.max_in_stream)

    async def ListModels(self, request: pb.ListModelsRequest, context: CallContext) -> pb.ListModelsResponse:
        """Answers the RPC of this name; see resprobe.proto."""
        return pb.ListModelsResponse(models=[version.description for version in self._models.all()])

    async def GetModel(self, request: pb.GetModelRequest, context: CallContext) -> pb.Model:
        """Answers the RPC of this name; see resprobe.proto."""
        return self._models.get(request.name, request.version).description

    def classify_directly(self, data: bytes, call: RequestContext) -> pb.ClassifyRequest | None:
        """Takes the common case of Classify, images that need no decoding; see Server.add."""
        request: pb.ClassifyRequest = call.parse(data)
        version = self._models.get(request.model, request.version)
        plan = self._plan(request, version, len(request.images), call)
        images = None if plan.is_large else stack(request.images, plan.wanted)
        if images is None:
            return request
        plan.batcher.add({**plan.scale, IMAGE: images}, deadline_of(call), call.reply(plan.serialize))
        return None

    async def _classify(self, request: pb.ClassifyRequest, context: CallContext) -> pb.ClassifyResponse:
        deadline = deadline_of(context)
        version = self._models.get(request.model, request.version)
        plan = self._plan(request, version, len(request.images), context)
        images, sizes = stack(request.images, plan.wanted), []
        if images is None:
            decoded = await self._decode(request.images, plan.wanted, deadline)
            images, sizes = decoded.images, decoded.resized_from
        outcome = await plan.batcher.submit({**plan.scale, IMAGE: images}, deadline, request.ByteSize())
        return await asyncio.to_thread(plan.respond, outcome, sizes) if plan.is_large else plan.respond(outcome, sizes)

    def _plan(self, request: pb.ClassifyRequest, version: Version, images: int, context: CallContext) -> "Plan":
        """How this version answers a request with so many images."""
        top_k = request.top_k if request.HasField("top_k") else DEFAULT_TOP_K
        if top_k < 1:
            raise InvalidRequest(f"top_k is {top_k}; expected at least 1", "top_k")
        view = request.view
        if view not in VIEWS:
            raise InvalidRequest(f"view is {view}; expected VIEW_BASIC or VIEW_BLOCKS", "view")
        with_blocks, with_scale = view == pb.VIEW_BLOCKS, bool(request.block_scale)
        if with_blocks or with_scale:
            require("analyse", context)
        batcher = version.batcher(with_blocks, with_scale)
        scale = {}
        if with_scale:
            scale = {BLOCK_SCALE: read_scale(request.block_scale, images, len(version.description.blocks))}
        wanted = version.images()
        if not images:
            raise InvalidRequest("images is empty; expected at least one image", "images")
        check_images(images, self._config.max_images)
        values = min(top_k, len(version.labels))
        if with_blocks:
            values += len(version.description.blocks) * len(version.description.statistics)
        return Plan(request.id, version, batcher, scale, wanted, top_k, images * values > MOST_VALUES)

    async def _decode(self, images: Sequence[pb.Image], wanted: Format, deadline: float) -> Decoded:
        sources = [_source(image, f"images[{index}]") for index, image in enumerate(images)]
        with self._tracing.span("decode", images=len(sources)) if self._tracing else nullcontext():
            return await self._decoders.decode(sources, wanted, deadline)


@dataclass(eq=False, slots=True)
class Plan:
    """How a request is answered.

    Attributes:
        identifier: Of the request.
        version: That runs it.
        batcher: For its graph.
        scale: The input `block_scale`, if it has one.
        wanted: What its images are to be for the model.
        top_k: Classes to return.
        is_large: Whether its response holds so many values that it is made on a thread of its own.
    """

    identifier: str
    version: Version
    batcher: Batcher
    scale: Arrays
    wanted: Format
    top_k: int
    is_large: bool

    def respond(self, outcome: Outcome, sizes: Sequence[Size | None]) -> pb.ClassifyResponse:
        """Makes the response; `sizes` are as in Decoded.resized_from, and empty if nothing was decoded."""
        response = _response(self.identifier, self.version, outcome, self.top_k)
        response.MergeFromString(self.version.signature)
        for result, size in zip(response.results, sizes, strict=False):
            if size is not None:
                result.resized_from.height, result.resized_from.width = size
        return response

    def serialize(self, outcome: Outcome) -> bytes:
        """The response as it travels: protobuf merges what is read of the parts of a message."""
        response = _response(self.identifier, self.version, outcome, self.top_k)
        return self.version.signature + response.SerializeToString()


def _refuse(error: Exception, context: CallContext, identifier: str) -> tuple[pb.ClassifyResponse, grpc.StatusCode]:
    status = make_status(error, context, identifier)
    return pb.ClassifyResponse(id=identifier, error=status), CODES[status.code]


def stack(images: Sequence[pb.Image], wanted: Format) -> Array | None:
    """All images as one array, uint8 [n, height, width, channels], if every one is raw pixels of the wanted format.

    The common case of a busy server: bytes are joined once, and nothing is decoded. None if it is not that case.
    """
    shape = wanted.shape
    size = math.prod(shape)
    rows = []
    for image in images:
        if image.WhichOneof("source") != "pixels":
            return None
        pixels = image.pixels
        data = pixels.data
        if len(data) != size or (pixels.height, pixels.width, pixels.channels) != shape:
            return None
        rows.append(data)
    return np.ndarray((len(rows), *shape), np.uint8, rows[0] if len(rows) == 1 else b"".join(rows))


def _source(image: pb.Image, name: str) -> Encoded | Pixels:
    kind = image.WhichOneof("source")
    if kind == "pixels":
        pixels = image.pixels
        return Pixels(pixels.height, pixels.width, pixels.channels, pixels.data, name)
    if kind == "encoded":
        return Encoded(image.encoded, name)
    raise InvalidRequest(f"{name} has neither encoded nor pixels", name)


def _response(identifier: str, version: Version, outcome: Outcome, top_k: int) -> pb.ClassifyResponse:
    """A response without what is the same in all of a version: Version.signature."""
    # Setting fields one by one is twice as fast as giving them to a constructor or to `add`.
    labels = version.labels
    response = pb.ClassifyResponse(id=identifier, batch_size=outcome.batch_size)
    set_duration(response.timings.queue, outcome.queued)
    set_duration(response.timings.inference, outcome.ran)
    indices, probabilities = outcome.results.best(top_k, version.probabilities)
    blocks = outcome.results.arrays.get(BLOCKS)
    for row in range(outcome.start, outcome.stop):
        result = response.results.add()
        add = result.classes.add
        for index, probability in zip(indices[row], probabilities[row], strict=True):
            found = add()
            found.index, found.label, found.probability = index, labels[index], probability
        if blocks is not None:
            for name, values in zip(version.description.statistics, blocks[row].T.tolist(), strict=True):
                result.statistics.add(name=name, values=values)
    return response
