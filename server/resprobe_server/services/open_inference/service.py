"""The Open Inference Protocol v2 with Triton's extensions: inference.GRPCInferenceService."""

import asyncio
from typing import TYPE_CHECKING, NoReturn

import grpc
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos import open_inference_pb2_grpc

from resprobe_server.config import Config
from resprobe_server.errors import InvalidRequest, NotFound, NotReady, RequestError
from resprobe_server.execution.session import Arrays
from resprobe_server.images.pool import Decoders
from resprobe_server.models.registry import Models
from resprobe_server.models.states import State
from resprobe_server.models.version import LESION_SUFFIX, Version
from resprobe_server.rpc.context import CallContext, RequestContext
from resprobe_server.rpc.request_stream import Each
from resprobe_server.rpc.status import CODES, make_status
from resprobe_server.services.open_inference import metadata
from resprobe_server.services.open_inference.inputs import InputReader
from resprobe_server.services.open_inference.plan import Plan, streamed
from resprobe_server.services.request_cache import RequestCache

if TYPE_CHECKING:
    from resprobe_server.observability.traces import Tracing


class OpenInferenceService(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers the RPC of this name; see open_inference.proto."""

    def __init__(self, models: Models, decoders: Decoders, config: Config, tracing: "Tracing | None" = None) -> None:
        """Makes the service.

        Args:
            models: To answer with.
            decoders: Where tensors are converted and pictures are decoded.
            config: Its limits on images, pixels and streams.
            tracing: Traces requests. If None, there are no traces.
        """
        self._models, self._reader, self._tracing = models, InputReader(decoders, config, tracing), tracing
        self._max_in_stream = config.max_in_stream
        self._draining = False

    async def ServerLive(self, request: pb.ServerLiveRequest, context: CallContext) -> pb.ServerLiveResponse:
        """Answers the RPC of this name; see open_inference.proto."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: CallContext) -> pb.ServerReadyResponse:
        """Answers the RPC of this name; see open_inference.proto."""
        try:
            self._models.all()
        except NotReady:
            return pb.ServerReadyResponse(ready=False)
        return pb.ServerReadyResponse(ready=not self._draining)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: CallContext) -> pb.ModelReadyResponse:
        """Says whether a model can be asked. As with Triton, false and not an error if there is no such model."""
        try:
            self._get(request.name, request.version)
        except RequestError:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: CallContext
    ) -> pb.ServerMetadataResponse:
        """Answers the RPC of this name; see open_inference.proto."""
        return metadata.server()

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: CallContext) -> pb.ModelMetadataResponse:
        """Answers the RPC of this name; see open_inference.proto."""
        return metadata.model(self._get(request.name, request.version), self._all())

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: CallContext) -> pb.ModelConfigResponse:
        """Answers the RPC of this name; see open_inference.proto."""
        return pb.ModelConfigResponse(config=metadata.config(self._get(request.name, request.version)))

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: CallContext
    ) -> pb.ModelStatisticsResponse:
        """Answers the RPC of this name; see open_inference.proto."""
        if request.version:
            versions = [self._get(request.name, request.version)]
        else:
            name = request.name and self._get(request.name, "").description.name
            versions = [one for one in self._all() if name in ("", one.description.name)]
        return pb.ModelStatisticsResponse(model_stats=[metadata.statistics(version) for version in versions])

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: CallContext
    ) -> pb.RepositoryIndexResponse:
        """Answers the RPC of this name; see open_inference.proto."""
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
        """Answers the RPC of this name; see open_inference.proto."""
        _check_repository(request)
        if request.parameters:
            given = ", ".join(sorted(request.parameters))
            raise InvalidRequest(f"parameters {given}: models load as they are in the repository", "parameters")
        await self._models.load_model(request.model_name)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: CallContext
    ) -> pb.RepositoryModelUnloadResponse:
        """Answers the RPC of this name; see open_inference.proto."""
        _check_repository(request)
        await self._models.unload_model(request.model_name)
        return pb.RepositoryModelUnloadResponse()

    async def ModelInfer(self, request: pb.ModelInferRequest, context: CallContext) -> pb.ModelInferResponse:
        """Answers the RPC of this name; see open_inference.proto."""
        return await self._infer(request, context)

    def ModelStreamInfer(self, requests: object, context: CallContext) -> NoReturn:
        """Takes its requests, each of which is answered by itself as `each` says; see open_inference.proto."""
        raise NotImplementedError

    def drain(self) -> None:
        """The server is not ready from now on."""
        self._draining = True

    def each(self) -> Each:
        """How ModelStreamInfer answers each of its requests."""

        async def answer(request: pb.ModelInferRequest, context: CallContext) -> pb.ModelStreamInferResponse:
            return streamed(await self._infer(request, context))

        traced = self._tracing.request(answer) if self._tracing else answer
        return Each(self.infer_directly, traced, _refuse, self._max_in_stream, ordered=True)

    def _get(self, name: str, version: str) -> Version:
        """Returns a version by name and number, as Models.get does; the lesion graphs of a model are a model too."""
        try:
            return self._models.get(name, version)
        except NotFound:
            found = None
            if name.endswith(LESION_SUFFIX):
                found = self._models.get(name.removesuffix(LESION_SUFFIX), version).lesioned
            if found is None:
                raise
            return found

    def _all(self) -> list[Version]:
        """Returns all versions, as Models.all does, with their lesion graphs."""
        served = self._models.all()
        return [one for version in served for one in (version, version.lesioned) if one is not None]

    def infer_directly(self, data: bytes, call: RequestContext) -> pb.ModelInferRequest | None:
        """Takes the common case of ModelInfer; see Server.add."""
        cache = self._cache()
        entry = cache.find(data)
        if entry is not None:
            (plan, name), tensor = entry.known, entry.tensor(data)
            due = plan.admit(call)
        else:
            request: pb.ModelInferRequest = call.parse(data)
            plan, inputs = self._plan(request)
            if inputs is None or plan.has_classification:
                return request
            ((name, tensor),) = inputs.items()
            due = plan.admit(call)
            if not request.id:  # ids differ from request to request
                cache.learn(data, tensor, (plan, name))
        serialize = plan.serialize_streamed if call.streams else plan.serialize
        plan.batcher.add({name: tensor}, due, call.reply(serialize))
        return None

    def _cache(self) -> RequestCache[tuple[Plan, str]]:
        """Plans of the table of models as it is now, each with the name of its input. For gRPC's thread."""
        derived = self._models.derived
        found: RequestCache[tuple[Plan, str]] | None = derived.get(RequestCache)
        if found is None:
            found = derived[RequestCache] = RequestCache(_contents)
        return found

    async def _infer(self, request: pb.ModelInferRequest, context: CallContext) -> pb.ModelInferResponse:
        plan, inputs = self._plan(request)
        due = plan.admit(context)
        if inputs is None:
            inputs = await self._reader.read(request, plan.version, due)
        outcome = await plan.batcher.submit(inputs, due, request.ByteSize())
        return await asyncio.to_thread(plan.respond, outcome) if plan.has_classification else plan.respond(outcome)

    def _plan(self, request: pb.ModelInferRequest) -> tuple[Plan, Arrays | None]:
        """How to answer a request, and its inputs, if that takes no work."""
        plan = Plan(request, self._get(request.model_name, request.model_version))
        return plan, self._reader.view(request, plan.version)


def _contents(data: bytes) -> list[bytes]:
    """Reads the values of all tensors of a request."""
    return list(pb.ModelInferRequest.FromString(data).raw_input_contents)


def _check_repository(
    request: pb.RepositoryIndexRequest | pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest,
) -> None:
    if request.repository_name:
        raise InvalidRequest("there is one repository; leave repository_name empty", "repository_name")


def _refuse(
    error: Exception, context: CallContext, identifier: str
) -> tuple[pb.ModelStreamInferResponse, grpc.StatusCode]:
    status = make_status(error, context, identifier)
    failed = pb.ModelInferResponse(id=identifier)
    return pb.ModelStreamInferResponse(error_message=status.message, infer_response=failed), CODES[status.code]
