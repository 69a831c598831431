"""Plans ClassifyRequests: which graph answers, with which inputs, and the response that is made of its outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.rpc import status_pb2
from resprobe._pictures.images import Size
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BLOCK_SCALE, BLOCKS, EXIT_THRESHOLD, IMAGE

from resprobe_server.config import Config
from resprobe_server.errors import InvalidRequest, Unloaded
from resprobe_server.execution.graph import Arrays
from resprobe_server.images.format import Format
from resprobe_server.images.pool import Decoders
from resprobe_server.models import views
from resprobe_server.models.table import Table
from resprobe_server.models.version import INSPECTED, Version
from resprobe_server.principal import require
from resprobe_server.rpc.context import CallContext, RequestContext
from resprobe_server.rpc.status import deadline_of
from resprobe_server.scheduling.batcher import Batcher
from resprobe_server.scheduling.request import Outcome
from resprobe_server.services.endpoint import Absent, Prepared
from resprobe_server.services.fields import MIB, check_images, check_response, intact, read_scale, read_threshold
from resprobe_server.services.resprobe_v1.messages import Wish, response, set_sizes, sources, stack
from resprobe_server.tracer import Tracer

DEFAULT_TOP_K = 5
MAX_VALUES = 16_384  # in a response that is made on the event loop: a few milliseconds
VIEWS = frozenset(pb.View.values())
ALONE: Mapping[pb.View.ValueType, frozenset[str]] = {  # what a view asks for that has no others beside it
    view: frozenset([views.OUTPUTS[view]] if view in views.OUTPUTS else []) for view in VIEWS
}
VALUE_BYTES = 4


class ClassifyPlanner:
    """Plans ClassifyRequests."""

    def __init__(self, table: Table, decoders: Decoders, config: Config, tracer: Tracer) -> None:
        """Creates a planner.

        Args:
            table: Versions that are served.
            decoders: Decode pictures.
            config: Maximum images in a request, and maximum bytes of a response.
            tracer: Tracer of requests.
        """
        self._table, self._decoders, self._tracer = table, decoders, tracer
        self._max_images, self._max_bytes = config.max_images, config.max_message * MIB

    def prepare(self, data: bytes, call: RequestContext) -> Prepared | Absent:
        """Parses, looks up and plans a request. Arguments and errors are those of `plan`."""
        request: pb.ClassifyRequest = call.parse(data)
        try:
            return self.plan(request, call, self._table)
        except Unloaded as error:
            return Absent(error.model, request, deadline_of(call))

    def plan(self, request: pb.ClassifyRequest, call: CallContext, table: Table) -> Prepared:
        """Looks up and plans a request; images that need no decoding are joined.

        Raises:
            InvalidRequest: A field of the request is wrong.
            Forbidden: The request asks for an analysis that its principal has no right to.
            NotFound: There is no such model.
            NotSupported: The version has no graph that answers the request.
            Unloaded: The version is not in memory.
        """
        plan = self._plan(request, table.get(request.model, request.version, request.id), call)
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

    def _plan(self, request: pb.ClassifyRequest, version: Version, call: CallContext) -> "ClassifyPlan":
        top_k = request.top_k if request.HasField("top_k") else DEFAULT_TOP_K
        if top_k < 1:
            raise InvalidRequest(f"top_k is {top_k}; expected at least 1", "top_k")
        analyses, with_scale, count = _analyses(request), bool(request.block_scale), len(request.images)
        if analyses or with_scale:
            require("analyse", call)
        leaves, inspects = request.HasField("exit_threshold"), not analyses.isdisjoint(INSPECTED)
        batcher = version.exiting() if leaves else version.batcher(analyses, with_scale)
        scale = {}
        if leaves:
            alone = not (analyses or with_scale)
            scale = {EXIT_THRESHOLD: read_threshold(request.exit_threshold, count, alone)}
        elif with_scale:
            scale = {BLOCK_SCALE: read_scale(request.block_scale, count, len(version.description.blocks))}
        elif inspects:
            scale = {BLOCK_SCALE: intact(count, len(version.description.blocks))}
        wanted = version.images()
        if not count:
            raise InvalidRequest("images is empty; expected at least one image", "images")
        check_images(count, self._max_images)
        values, row_bytes = min(top_k, len(version.labels)), 0
        if inspects:
            row_bytes = VALUE_BYTES * version.row_values(analyses)
            check_response(count, row_bytes, self._max_bytes)
            values += row_bytes // VALUE_BYTES
        if BLOCKS in analyses:
            values += len(version.description.blocks) * len(version.description.statistics)
        wish = Wish(request.id, top_k, analyses, _describes(request, version))
        return ClassifyPlan(
            wish, version, batcher, count * values > MAX_VALUES, row_bytes, scale, wanted, self._decoders, self._tracer
        )


def _describes(request: pb.ClassifyRequest, version: Version) -> bool:
    return request.describe and version.description.serving.digest not in request.known_digests


def _analyses(request: pb.ClassifyRequest) -> frozenset[str]:
    """Returns the outputs that the views of a request ask for beside the classes."""
    if not request.views and (alone := ALONE.get(request.view)) is not None:
        return alone
    asked = {request.view, *request.views}
    if wrong := asked - VIEWS:
        field, names = "view" if request.view in wrong else "views", ", ".join(map(pb.View.Name, sorted(VIEWS)[1:]))
        raise InvalidRequest(f"{field} has {min(wrong)}; expected {names}", field)
    return frozenset(views.OUTPUTS[view] for view in asked if view in views.OUTPUTS)


@dataclass(eq=False, slots=True)
class ClassifyPlan:
    """Plan of one ClassifyRequest.

    Attributes:
        wish: What the request asks for.
        version: Version that runs it.
        batcher: Batcher of the graph that answers it.
        is_slow: Whether the response holds so many values that it is made on a thread of its own.
        row_bytes: Bytes of the response for each image, beside classes and statistics.
        scale: Input beside the images by its name, if the graph has one: `block_scale` or `exit_threshold`.
        wanted: Format of the images that the model takes.
        decoders: Decode pictures.
        tracer: Tracer of requests.
        sizes: Sizes that the images were resized from, if they were decoded.
    """

    wish: Wish
    version: Version
    batcher: Batcher
    is_slow: bool
    row_bytes: int
    scale: Arrays
    wanted: Format
    decoders: Decoders
    tracer: Tracer
    sizes: Sequence[Size | None] = ()

    @property
    def identifier(self) -> str:
        """Id of the request."""
        return self.wish.identifier

    async def read(self, message: pb.ClassifyRequest, deadline: float) -> Arrays:
        """Decodes the images of the request."""
        images = sources(message.images)
        with self.tracer.span("decode", images=len(images)):
            decoded = await self.decoders.decode(images, self.wanted, deadline)
        self.sizes = decoded.resized_from
        return {**self.scale, IMAGE: decoded.images}

    def serialize(self, outcome: Outcome) -> bytes:
        """Returns the serialized response: protobuf merges the parts of a message that stand one after the other."""
        made = response(self.wish, self.version, outcome)
        if self.sizes:
            set_sizes(made, self.sizes)
        return self.version.signature + made.SerializeToString()
