"""inference.GRPCInferenceService: inference, alone and in streams, and what clients ask about server and models."""

import asyncio

from resprobe_protos import open_inference_pb2 as pb

from resprobe_server.config import Config
from resprobe_server.errors import InvalidRequest, RequestError
from resprobe_server.images.pool import Decoders
from resprobe_server.models.registry import Models
from resprobe_server.models.states import State
from resprobe_server.models.version import LESION_SUFFIX
from resprobe_server.rpc.context import CallContext
from resprobe_server.rpc.request_stream import Each
from resprobe_server.services.endpoint import Endpoint
from resprobe_server.services.fields import MIB
from resprobe_server.services.open_inference import metadata, served_models
from resprobe_server.services.open_inference.inputs import InputReader
from resprobe_server.services.open_inference.plan import InferPlanner
from resprobe_server.services.open_inference.regions import Regions
from resprobe_server.services.open_inference.response import streamed
from resprobe_server.services.open_inference.shared_memory import SharedMemory
from resprobe_server.services.open_inference.statistics import statistics
from resprobe_server.tracer import Tracer


class OpenInferenceService:
    """Methods of the service, by their names in open_inference.proto.

    Attributes:
        ModelInfer: Runs a model on the tensors of one request.
        ModelStreamInfer: Runs models on the tensors of each request of a stream, and answers in their order.
        SystemSharedMemoryStatus: Returns the caller's regions of shared memory.
        SystemSharedMemoryRegister: Registers a region.
        SystemSharedMemoryUnregister: Forgets regions.
    """

    ModelInfer: Each
    ModelStreamInfer: Each

    def __init__(
        self, models: Models, decoders: Decoders, config: Config, tracer: Tracer, regions: Regions | None = None
    ) -> None:
        """Creates the service.

        Args:
            models: Models that are served.
            decoders: Convert tensors and decode pictures.
            config: Limits on images, pixels and streams.
            tracer: Tracer of requests.
            regions: Regions of shared memory. If None, shared memory is not served.
        """
        self._models, self._table, self._config = models, models.table, config
        self._draining, self._shares = False, regions is not None
        memory = SharedMemory(regions)
        self.SystemSharedMemoryStatus = memory.SystemSharedMemoryStatus
        self.SystemSharedMemoryRegister = memory.SystemSharedMemoryRegister
        self.SystemSharedMemoryUnregister = memory.SystemSharedMemoryUnregister
        reader = InputReader(decoders, config.max_images, tracer)
        largest, bring = config.max_message * MIB, models.on_demand.bring
        unary = InferPlanner(models.table, reader, largest, memory)
        stream = InferPlanner(models.table, reader, largest, memory, streamed)
        self.ModelInfer = Endpoint(unary, tracer, False, bring).each()
        self.ModelStreamInfer = Endpoint(stream, tracer, True, bring).each(config.max_in_stream, ordered=True)

    def drain(self) -> None:
        """Marks the server as not ready from now on."""
        self._draining = True

    async def ServerLive(self, request: pb.ServerLiveRequest, context: CallContext) -> pb.ServerLiveResponse:
        """Returns that the server runs."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: CallContext) -> pb.ServerReadyResponse:
        """Returns whether the models are loaded and the server is not shutting down."""
        return pb.ServerReadyResponse(ready=self._table.is_open and not self._draining)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: CallContext) -> pb.ModelReadyResponse:
        """Returns whether requests for a model are answered, which may load it first.

        As with Triton, false and not an error if there is no such model.
        """
        try:
            version = served_models.find(self._table, request.name, request.version)
        except RequestError:
            return pb.ModelReadyResponse(ready=False)
        name = version.name.removesuffix(LESION_SUFFIX) if version.is_lesioned else version.name
        return pb.ModelReadyResponse(ready=self._models.on_demand.obstacle(name) is None)

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: CallContext
    ) -> pb.ServerMetadataResponse:
        """Returns name, version and extensions of the server."""
        return metadata.server(self._shares)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: CallContext) -> pb.ModelMetadataResponse:
        """Returns the inputs and outputs of a model."""
        version = served_models.find(self._table, request.name, request.version)
        return metadata.model(version, served_models.all_versions(self._table))

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: CallContext) -> pb.ModelConfigResponse:
        """Returns the configuration that a model would have with Triton."""
        version = served_models.find(self._table, request.name, request.version)
        return pb.ModelConfigResponse(config=metadata.config(version, self._config))

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: CallContext
    ) -> pb.ModelStatisticsResponse:
        """Returns the counters of one version, of all versions of a model, or of all models, of those in memory."""
        table = self._table
        if request.version:
            versions = [served_models.find(table, request.name, request.version)]
        else:
            name = request.name and served_models.find(table, request.name, "").description.name
            versions = [one for one in served_models.all_versions(table) if name in ("", one.description.name)]
        return pb.ModelStatisticsResponse(model_stats=[statistics(one) for one in versions if one.is_loaded])

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: CallContext
    ) -> pb.RepositoryIndexResponse:
        """Returns the state of every version in the repository."""
        _check_repository(request)
        found = await asyncio.to_thread(self._models.index)
        return pb.RepositoryIndexResponse(
            models=[
                pb.RepositoryIndexResponse.ModelIndex(
                    name=one.name, version=str(one.version), state=one.state, reason=one.reason or one.note
                )
                for one in found
                if not request.ready or one.state is State.READY
            ]
        )

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: CallContext
    ) -> pb.RepositoryModelLoadResponse:
        """Loads a model, in explicit mode."""
        _check_repository(request)
        if request.parameters:
            given = ", ".join(sorted(request.parameters))
            raise InvalidRequest(f"parameters {given}: models load as they are in the repository", "parameters")
        await self._models.load_model(request.model_name)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: CallContext
    ) -> pb.RepositoryModelUnloadResponse:
        """Unloads a model, in explicit mode."""
        _check_repository(request)
        await self._models.unload_model(request.model_name)
        return pb.RepositoryModelUnloadResponse()


def _check_repository(
    request: pb.RepositoryIndexRequest | pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest,
) -> None:
    if request.repository_name:
        raise InvalidRequest("there is one repository; leave repository_name empty", "repository_name")
