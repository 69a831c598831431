"""Plans ClassifyRequests: which graph answers, with which inputs, and the response that is made of its outcome."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.rpc import status_pb2
from resprobe._pictures.images import Size
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BLOCK_SCALE, IMAGE

from resprobe_server.errors import InvalidRequest
from resprobe_server.execution.graph import Arrays
from resprobe_server.images.format import Format
from resprobe_server.images.pool import Decoders
from resprobe_server.models.table import Table
from resprobe_server.models.version import Version
from resprobe_server.principal import require
from resprobe_server.rpc.context import RequestContext
from resprobe_server.rpc.status import deadline_of
from resprobe_server.scheduling.batcher import Batcher
from resprobe_server.scheduling.request import Outcome
from resprobe_server.services.endpoint import Prepared
from resprobe_server.services.fields import check_images, read_scale
from resprobe_server.services.resprobe_v1.messages import response, set_sizes, sources, stack
from resprobe_server.tracer import Tracer

DEFAULT_TOP_K = 5
MAX_VALUES = 16_384  # in a response that is made on the event loop: a few milliseconds
VIEWS = frozenset(pb.View.values())


class ClassifyPlanner:
    """Plans ClassifyRequests."""

    def __init__(self, table: Table, decoders: Decoders, max_images: int, tracer: Tracer) -> None:
        """Creates a planner.

        Args:
            table: Versions that are served.
            decoders: Decode pictures.
            max_images: Maximum images in a request.
            tracer: Tracer of requests.
        """
        self._table, self._decoders, self._max_images, self._tracer = table, decoders, max_images, tracer

    def prepare(self, data: bytes, call: RequestContext) -> Prepared:
        """Parses, looks up and plans a request; images that need no decoding are joined.

        Raises:
            InvalidRequest: A field of the request is wrong.
            Forbidden: The request asks for an analysis that its principal has no right to.
            NotFound: There is no such model.
            NotSupported: The version has no graph that answers the request.
        """
        request: pb.ClassifyRequest = call.parse(data)
        plan = self._plan(request, self._table.get(request.model, request.version, request.id), call)
        deadline = deadline_of(call)
        images = stack(request.images, plan.wanted)
        if images is None:
            return Prepared(plan, deadline, None, request)
        return Prepared(plan, deadline, {**plan.scale, IMAGE: images})

    def identifier(self, data: bytes) -> str:
        """Returns the id of a request."""
        return pb.ClassifyRequest.FromString(data).id

    def refusal(self, status: status_pb2.Status, identifier: str) -> bytes:
        """Returns the serialized response of a stream that says why a request is not answered."""
        return pb.ClassifyResponse(id=identifier, error=status).SerializeToString()

    def _plan(self, request: pb.ClassifyRequest, version: Version, call: RequestContext) -> "ClassifyPlan":
        top_k = request.top_k if request.HasField("top_k") else DEFAULT_TOP_K
        if top_k < 1:
            raise InvalidRequest(f"top_k is {top_k}; expected at least 1", "top_k")
        view = request.view
        if view not in VIEWS:
            raise InvalidRequest(f"view is {view}; expected VIEW_BASIC or VIEW_BLOCKS", "view")
        with_blocks, with_scale = view == pb.VIEW_BLOCKS, bool(request.block_scale)
        if with_blocks or with_scale:
            require("analyse", call)
        batcher, count = version.batcher(with_blocks, with_scale), len(request.images)
        scale = {}
        if with_scale:
            scale = {BLOCK_SCALE: read_scale(request.block_scale, count, len(version.description.blocks))}
        wanted = version.images()
        if not count:
            raise InvalidRequest("images is empty; expected at least one image", "images")
        check_images(count, self._max_images)
        values = min(top_k, len(version.labels))
        if with_blocks:
            values += len(version.description.blocks) * len(version.description.statistics)
        is_slow = count * values > MAX_VALUES
        return ClassifyPlan(request.id, version, batcher, is_slow, scale, wanted, top_k, self._decoders, self._tracer)


@dataclass(eq=False, slots=True)
class ClassifyPlan:
    """Plan of one ClassifyRequest.

    Attributes:
        identifier: Id of the request.
        version: Version that runs it.
        batcher: Batcher of the graph that answers it.
        is_slow: Whether the response holds so many values that it is made on a thread of its own.
        scale: Input `block_scale` by its name, if the request has one.
        wanted: Format of the images that the model takes.
        top_k: Number of classes to return for each image.
        decoders: Decode pictures.
        tracer: Tracer of requests.
        sizes: Sizes that the images were resized from, if they were decoded.
    """

    identifier: str
    version: Version
    batcher: Batcher
    is_slow: bool
    scale: Arrays
    wanted: Format
    top_k: int
    decoders: Decoders
    tracer: Tracer
    sizes: Sequence[Size | None] = ()

    async def read(self, message: pb.ClassifyRequest, deadline: float) -> Arrays:
        """Decodes the images of the request."""
        images = sources(message.images)
        with self.tracer.span("decode", images=len(images)):
            decoded = await self.decoders.decode(images, self.wanted, deadline)
        self.sizes = decoded.resized_from
        return {**self.scale, IMAGE: decoded.images}

    def serialize(self, outcome: Outcome) -> bytes:
        """Returns the serialized response: protobuf merges the parts of a message that stand one after the other."""
        made = response(self.identifier, self.version, outcome, self.top_k)
        if self.sizes:
            set_sizes(made, self.sizes)
        return self.version.signature + made.SerializeToString()
