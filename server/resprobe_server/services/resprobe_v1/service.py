"""resprobe.v1.ResidualService: classification, alone and in streams, and descriptions of models."""

from resprobe_protos import resprobe_pb2 as pb

from resprobe_server.config import Config
from resprobe_server.images.pool import Decoders
from resprobe_server.models.registry import Models
from resprobe_server.rpc.context import CallContext
from resprobe_server.rpc.request_stream import Each
from resprobe_server.services.endpoint import Endpoint
from resprobe_server.services.resprobe_v1.plan import ClassifyPlanner
from resprobe_server.tracer import Tracer


class ResidualService:
    """Methods of the service, by their names in resprobe.proto.

    Attributes:
        Classify: Classifies the images of one request.
        ClassifyStream: Classifies the images of each request of a stream, and answers each as soon as it is done.
    """

    Classify: Each
    ClassifyStream: Each

    def __init__(self, models: Models, decoders: Decoders, config: Config, tracer: Tracer) -> None:
        """Creates the service.

        Args:
            models: Models that are served.
            decoders: Decode pictures.
            config: Limits on images, pixels and streams.
            tracer: Tracer of requests.
        """
        self._table = models.table
        planner = ClassifyPlanner(models.table, decoders, config, tracer)
        self.Classify = Endpoint(planner, tracer, False, models.on_demand.bring).each()
        self.ClassifyStream = Endpoint(planner, tracer, True, models.on_demand.bring).each(config.max_in_stream)

    async def ListModels(self, request: pb.ListModelsRequest, context: CallContext) -> pb.ListModelsResponse:
        """Returns the descriptions of all versions that are served."""
        return pb.ListModelsResponse(models=[version.description for version in self._table.all()])

    async def GetModel(self, request: pb.GetModelRequest, context: CallContext) -> pb.Model:
        """Returns the description of a version."""
        return self._table.find(request.name, request.version).description
