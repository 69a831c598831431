"""Plans ModelInferRequests: which graph answers, with which inputs, and with which outputs."""

import math
import time
from collections.abc import Mapping
from functools import partial

import numpy as np
from google.rpc import status_pb2
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.contract import BLOCK_SCALE, BLOCKS, EXIT_BLOCK, EXIT_THRESHOLD

from resprobe_server.errors import InvalidRequest, Unloaded
from resprobe_server.execution.graph import Arrays
from resprobe_server.models.table import Table
from resprobe_server.models.version import INSPECTED, Version
from resprobe_server.principal import require
from resprobe_server.rpc.context import CallContext, RequestContext
from resprobe_server.rpc.status import deadline_of
from resprobe_server.services.endpoint import Absent, Prepared
from resprobe_server.services.fields import check_response, intact, read_threshold
from resprobe_server.services.open_inference import served_models
from resprobe_server.services.open_inference.inputs import InputReader
from resprobe_server.services.open_inference.response import Outputs, ResponseWriter, Wrap, unwrapped
from resprobe_server.services.open_inference.shared_memory import Find, SharedMemory
from resprobe_server.services.request_cache import RequestCache

ANALYSES = (BLOCKS, *INSPECTED)
VALUE_BYTES = 4
SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
Parameters = Mapping[str, pb.InferParameter]


class InferPlan:
    """Plan of a request, and of others that differ from it in the values of their tensors only.

    Attributes:
        identifier: Id of the request.
        version: Version that the request names.
        batcher: Batcher of the graph that answers it.
        row_bytes: Bytes of what inspect.onnx returns for a row; 0 if another graph answers.
        is_slow: Whether it asks for best classes as text, or for outputs in shared memory, which are made on a thread
            of its own.
        serialize: Serializes the response from the outcome.
    """

    __slots__ = (
        "_analyses",
        "_max_bytes",
        "_places",
        "_reader",
        "_scales",
        "_threshold",
        "_timeout",
        "batcher",
        "identifier",
        "is_slow",
        "row_bytes",
        "serialize",
        "version",
    )

    def __init__(
        self,
        request: pb.ModelInferRequest,
        version: Version,
        reader: InputReader,
        wrap: Wrap,
        max_bytes: int,
        find: Find,
    ) -> None:
        """Plans a request.

        Args:
            request: Request.
            version: Version that the request names.
            reader: Reads its inputs.
            wrap: Makes the message that is sent from a response.
            max_bytes: Maximum bytes of a response.
            find: Returns the places of inputs or outputs that are in shared memory, by name.

        Raises:
            InvalidRequest: The outputs or the parameters are wrong.
            Forbidden: The caller may not use shared memory.
            NotSupported: The version has no graph that answers the request.
        """
        threshold = threshold_of(request.parameters)
        outputs, analyses = read_outputs(request, version, leaves=threshold is not None)
        self._timeout, self._reader, self._max_bytes = timeout_of(request.parameters), reader, max_bytes
        self._analyses = bool(analyses) or version.is_lesioned
        self.identifier, self.version = request.id, version
        self._threshold = None if threshold is None else read_threshold(threshold, 1, not self._analyses)
        self.batcher = version.batcher(analyses, with_scale=False) if threshold is None else version.exiting()
        inspects = not analyses.isdisjoint(INSPECTED)
        self._scales = inspects and not version.is_lesioned
        self.row_bytes = VALUE_BYTES * version.row_values(analyses) if inspects else 0
        self._places, written = find(request.inputs), find(request.outputs)
        self.is_slow = any(count for _, count in outputs) or bool(written)
        self.serialize = ResponseWriter(request.id, version, outputs, wrap, written).serialize

    def admit(self, call: CallContext) -> float:
        """Checks the rights of a request's principal.

        Returns:
            The request's deadline, on the clock of time.monotonic.

        Raises:
            Forbidden: The request asks for an analysis that its principal has no right to.
        """
        if self._analyses:
            require("analyse", call)
        deadline = deadline_of(call)
        return deadline if self._timeout is None else min(deadline, time.monotonic() + self._timeout)

    async def read(self, message: pb.ModelInferRequest, deadline: float) -> Arrays:
        """Converts or decodes the inputs of a request. Raises InvalidRequest as `complete` does."""
        return self.complete(await self._reader.read(message, self.version, deadline, self._places))

    def complete(self, inputs: Arrays) -> Arrays:
        """Adds the threshold of an early exit, or the block scale that inspect.onnx needs: every block is intact.

        Raises:
            InvalidRequest: The response would be too large.
        """
        if not self.row_bytes and self._threshold is None:
            return inputs
        rows = len(next(iter(inputs.values())))
        if self._threshold is not None:
            return {**inputs, EXIT_THRESHOLD: np.repeat(self._threshold, rows)}
        check_response(rows, self.row_bytes, self._max_bytes)
        if not self._scales:
            return inputs
        return {**inputs, BLOCK_SCALE: intact(rows, len(self.version.description.blocks))}


class InferPlanner:
    """Plans ModelInferRequests. Requests that differ from an earlier one in the values of their tensor share a plan."""

    def __init__(
        self, table: Table, reader: InputReader, max_bytes: int, memory: SharedMemory, wrap: Wrap = unwrapped
    ) -> None:
        """Creates a planner.

        Args:
            table: Versions that are served.
            reader: Reads the inputs of requests.
            max_bytes: Maximum bytes of a response.
            memory: Shared memory of the server.
            wrap: Makes the message that is sent from a response.
        """
        self._table, self._reader, self._wrap, self._max_bytes = table, reader, wrap, max_bytes
        self._memory = memory

    def prepare(self, data: bytes, call: RequestContext) -> Prepared | Absent:
        """Parses, looks up and plans a request, or finds the plan of an earlier one that fits. Errors: see `plan`."""
        cache = self._cache()  # before the table is read: a plan of an earlier table must not enter a later cache
        entry = cache.find(data)
        if entry is not None:
            plan, name = entry.known
            return Prepared(plan, plan.admit(call), plan.complete({name: entry.tensor(data)}))
        request: pb.ModelInferRequest = call.parse(data)
        try:
            plan, inputs, deadline = self._read(request, call, self._table)
        except Unloaded as error:
            timeout = timeout_of(request.parameters)
            end = math.inf if timeout is None else time.monotonic() + timeout
            return Absent(error.model, request, min(end, deadline_of(call)))
        if inputs is None:
            return Prepared(plan, deadline, None, request)
        if not (request.id or plan.is_slow):  # ids differ from request to request
            ((name, tensor),) = inputs.items()
            cache.learn(data, tensor, (plan, name))
        return Prepared(plan, deadline, plan.complete(inputs))

    def plan(self, request: pb.ModelInferRequest, call: CallContext, table: Table) -> Prepared:
        """Looks up and plans a request.

        Raises:
            InvalidRequest: A field of the request is wrong.
            Forbidden: The request asks for an analysis that its principal has no right to.
            NotFound: There is no such model.
            NotSupported: The version has no graph that answers the request.
            Unloaded: The version is not in memory.
        """
        plan, inputs, deadline = self._read(request, call, table)
        if inputs is None:
            return Prepared(plan, deadline, None, request)
        return Prepared(plan, deadline, plan.complete(inputs))

    def _read(
        self, request: pb.ModelInferRequest, call: CallContext, table: Table
    ) -> tuple[InferPlan, Arrays | None, float]:
        """Returns the plan of a request, its inputs unless they must be converted, and its deadline."""
        version = served_models.get(table, request.model_name, request.model_version, request.id)
        find = partial(self._memory.places, context=call)
        plan = InferPlan(request, version, self._reader, self._wrap, self._max_bytes, find)
        deadline = plan.admit(call)
        return plan, self._reader.view(request, version), deadline

    def identifier(self, data: bytes) -> str:
        """Returns the id of a request."""
        return pb.ModelInferRequest.FromString(data).id

    def refusal(self, status: status_pb2.Status, identifier: str) -> bytes:
        """Returns the serialized response of a stream that says why a request is not answered."""
        failed = pb.ModelInferResponse(id=identifier)
        return pb.ModelStreamInferResponse(error_message=status.message, infer_response=failed).SerializeToString()

    def _cache(self) -> RequestCache[tuple[InferPlan, str]]:
        """Returns the plans for the table of models as it is now, each with the name of its input."""
        derived = self._table.derived
        found: RequestCache[tuple[InferPlan, str]] | None = derived.get(self)
        if found is None:
            found = derived[self] = RequestCache(raw_contents)
        return found


def raw_contents(data: bytes) -> list[bytes]:
    """Returns the raw contents of all tensors of a serialized request."""
    return list(pb.ModelInferRequest.FromString(data).raw_input_contents)


def read_outputs(
    request: pb.ModelInferRequest, version: Version, leaves: bool = False
) -> tuple[Outputs, frozenset[str]]:
    """Returns the outputs that a request asks for, in its order, and those among them that are analyses.

    Args:
        request: Request.
        version: Version that it names.
        leaves: Whether images may leave the net early; then it also returns after which block.

    Raises:
        InvalidRequest: The model has no such output, or the output's parameters are wrong.
    """
    if not request.outputs:
        return [(name, 0) for name in version.outputs], frozenset()
    found: dict[str, int] = {}
    for output in request.outputs:
        if output.name in found:
            raise InvalidRequest(f"output {output.name} is requested twice; expected each output once", "outputs")
        known = [*version.outputs, *([EXIT_BLOCK] if leaves else [])]
        if output.name not in (*known, *ANALYSES):
            name, listed = version.description.name, ", ".join(known)
            raise InvalidRequest(f"output {output.name!r} is unknown to model {name}; its outputs: {listed}", "outputs")
        found[output.name] = _class_count(output)
    return list(found.items()), frozenset(found.keys() & set(ANALYSES) - version.outputs.keys())


def _class_count(output: pb.ModelInferRequest.InferRequestedOutputTensor) -> int:
    parameters = output.parameters
    if not parameters:
        return 0
    if "classification" not in parameters:
        return 0
    count = parameters["classification"].int64_param
    if count < 1:
        raise InvalidRequest(
            f"the classification of output {output.name} is {count}; expected int64_param of at least 1", output.name
        )
    return count


def threshold_of(parameters: Parameters) -> float | None:
    """Returns the threshold of an early exit. If None, the request has no such parameter.

    Raises:
        InvalidRequest: It is not a number of double precision.
    """
    if not parameters or EXIT_THRESHOLD not in parameters:
        return None
    found = parameters[EXIT_THRESHOLD]
    if found.WhichOneof("parameter_choice") != "double_param":
        raise InvalidRequest(f"the parameter {EXIT_THRESHOLD} must be a double_param above 0, at most 1", "parameters")
    return found.double_param


def timeout_of(parameters: Parameters) -> float | None:
    """Returns the seconds of a request's parameter `timeout`. If None, the request has no such parameter.

    Raises:
        InvalidRequest: The timeout is wrong, or the request is part of a sequence.
    """
    if not parameters:
        return None
    for name in SEQUENCE:
        if name in parameters and any(value for _, value in parameters[name].ListFields()):
            raise InvalidRequest(f"the parameter {name} is for stateful models; no model here is one", "parameters")
    if "timeout" not in parameters:
        return None
    microseconds = parameters["timeout"].int64_param or parameters["timeout"].uint64_param
    if microseconds < 1:
        raise InvalidRequest("`timeout` must be an int64_param of at least 1 microsecond", "parameters")
    return microseconds / 1e6
