"""Shared memory as requests name it: who may use it, and the parameters of inputs and outputs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from resprobe._wire.address import is_loopback
from resprobe_protos import open_inference_pb2 as pb

from resprobe_server.errors import Forbidden, InvalidRequest, NotFound, NotSupported
from resprobe_server.principal import name_of
from resprobe_server.rpc.context import CallContext
from resprobe_server.services.open_inference.regions import Region, Regions

REGION, SIZE, OFFSET = "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"
Parameters = Mapping[str, pb.InferParameter]
Tensor = pb.ModelInferRequest.InferInputTensor | pb.ModelInferRequest.InferRequestedOutputTensor


@dataclass(frozen=True)
class Place:
    """Bytes of a region that a tensor is in, or is to be written to."""

    region: Region
    offset: int
    size: int

    def read(self) -> bytes:
        """Returns a copy of the bytes; errors are those of Region.read."""
        return self.region.read(self.offset, self.size)

    def write(self, data: bytes, output: str) -> None:
        """Writes a tensor. Raises InvalidRequest if it does not fit, besides the errors of Region.write."""
        if len(data) > self.size:
            raise InvalidRequest(
                f"output {output} has {len(data)} bytes, and {SIZE} is {self.size}; expected room for all of it", output
            )
        self.region.write(self.offset, data)

    def describe(self, output: pb.ModelInferResponse.InferOutputTensor, size: int) -> None:
        """Says in a response where a tensor of so many bytes is."""
        output.parameters[REGION].string_param = self.region.name
        output.parameters[SIZE].int64_param = size
        if self.offset:
            output.parameters[OFFSET].int64_param = self.offset


Find = Callable[[Iterable[Tensor]], Mapping[str, Place]]


class SharedMemory:
    """Shared memory of a server, if it has any."""

    def __init__(self, regions: Regions | None = None) -> None:
        """Creates it. If `regions` is None, shared memory is not served."""
        self._regions = regions

    def owner(self, context: CallContext) -> tuple[Regions, str]:
        """Returns the regions, and the name that those of a caller belong to; empty without tokens.

        Raises:
            NotSupported: Shared memory is not served.
            Forbidden: The caller is on another machine.
        """
        if self._regions is None:
            raise NotSupported("shared memory is not served: start the server with --shared-memory, or send the bytes")
        if not is_loopback(unquote(context.peer())):
            raise Forbidden("shared memory is for callers on the server's machine; send the bytes")
        return self._regions, name_of(context)

    def places(self, tensors: Iterable[Tensor], context: CallContext) -> Mapping[str, Place]:
        """Returns the places of the inputs or outputs that are in shared memory, by name.

        Args:
            tensors: Inputs or outputs of a request.
            context: Context of the call.

        Raises:
            InvalidRequest: The parameters are wrong, or there is no such region.
            NotSupported: Shared memory is not served.
            Forbidden: The caller is on another machine.
        """
        found: dict[str, Place] = {}
        for tensor in tensors:
            if not tensor.parameters or REGION not in tensor.parameters:
                continue
            regions, owner = self.owner(context)
            region = regions.get(owner, tensor.parameters[REGION].string_param)
            offset = _number(tensor.parameters, OFFSET, tensor.name, 0)
            size = _number(tensor.parameters, SIZE, tensor.name, None)
            region.check(offset, size)
            found[tensor.name] = Place(region, offset, size)
        return found

    async def SystemSharedMemoryStatus(
        self, request: pb.SystemSharedMemoryStatusRequest, context: CallContext
    ) -> pb.SystemSharedMemoryStatusResponse:
        """Returns the caller's regions, or one of them."""
        regions, owner = self.owner(context)
        found = [one for one in regions.all(owner) if request.name in ("", one.name)]
        if request.name and not found:
            raise NotFound(f"no region {request.name!r} is registered")
        status = pb.SystemSharedMemoryStatusResponse.RegionStatus
        return pb.SystemSharedMemoryStatusResponse(
            regions={
                one.name: status(name=one.name, key=f"/{one.key}", offset=one.offset, byte_size=one.byte_size)
                for one in found
            }
        )

    async def SystemSharedMemoryRegister(
        self, request: pb.SystemSharedMemoryRegisterRequest, context: CallContext
    ) -> pb.SystemSharedMemoryRegisterResponse:
        """Registers a region for the caller."""
        regions, owner = self.owner(context)
        regions.register(owner, request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(
        self, request: pb.SystemSharedMemoryUnregisterRequest, context: CallContext
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        """Forgets the caller's regions, or one of them."""
        regions, owner = self.owner(context)
        regions.unregister(owner, request.name)
        return pb.SystemSharedMemoryUnregisterResponse()


def _number(parameters: Parameters, key: str, name: str, default: int | None) -> int:
    if key not in parameters:
        if default is None:
            raise InvalidRequest(
                f"{name} is in shared memory and has no {key}; expected its bytes as int64_param", name
            )
        return default
    given = parameters[key]
    value = given.uint64_param if given.WhichOneof("parameter_choice") == "uint64_param" else given.int64_param
    if value < 0 or given.WhichOneof("parameter_choice") not in ("int64_param", "uint64_param"):
        raise InvalidRequest(f"{key} of {name} is not an int64_param of at least 0", name)
    return value
