"""How a request of the Open Inference Protocol is answered: what it asks for, and the response that is made of it."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.contract import BLOCKS, LOGITS

from resprobe_server.errors import InvalidRequest
from resprobe_server.execution import tensors
from resprobe_server.models.version import Version
from resprobe_server.rpc.context import CallContext
from resprobe_server.rpc.status import deadline_of
from resprobe_server.scheduling.request import Outcome
from resprobe_server.security.principal import require

Outputs = Sequence[tuple[str, int]]  # name, and how many best classes to return instead of values; 0: values


class Plan:
    """How a request is answered, and others that differ from it in the contents of their tensors only.

    Attributes:
        identifier: Of the request.
        version: That it names.
        batcher: For its graph.
        has_classification: Whether best classes are wanted as text, which is made on a thread of its own.
    """

    __slots__ = (
        "_analyses",
        "_head",
        "_like",
        "_timeout",
        "_wanted",
        "batcher",
        "has_classification",
        "identifier",
        "version",
    )

    def __init__(self, request: pb.ModelInferRequest, version: Version) -> None:
        """Makes it for a request that names this version.

        Raises:
            InvalidRequest: The request does not make sense.
            NotSupported: The version has no graph that answers it.
        """
        self.identifier, self.version, self._timeout = request.id, version, timeout_of(request)
        self._wanted, with_blocks = read_outputs(request, version)
        self._analyses = with_blocks or version.is_lesioned
        self.has_classification = any(count for _, count in self._wanted)
        self.batcher = version.batcher(with_blocks, with_scale=False)
        self._head = b""  # of a response up to its values, which are an array of this shape and dtype
        self._like: tuple[tuple[int, ...], np.dtype[Any]] | None = None

    def admit(self, context: CallContext) -> float:
        """Lets the caller in, and says when an answer is due, on the clock of time.monotonic.

        Raises:
            Forbidden: The caller may not analyse, and this does.
        """
        if self._analyses:
            require("analyse", context)
        deadline = deadline_of(context)
        return deadline if self._timeout is None else min(deadline, time.monotonic() + self._timeout)

    def respond(self, outcome: Outcome) -> pb.ModelInferResponse:
        """The response. Raises InvalidRequest if classes are wanted of what has none."""
        return respond(self.identifier, self.version, self._wanted, outcome)

    def serialize_streamed(self, outcome: Outcome) -> bytes:
        """The response in a stream as it travels; see `respond`."""
        return streamed(self.respond(outcome)).SerializeToString()

    def serialize(self, outcome: Outcome) -> bytes:
        """The response as it travels; see `respond`. What is the same each time is made once."""
        (name, count), *others = self._wanted
        array: tensors.Array = outcome.output(name)
        like = array.shape, array.dtype
        if like == self._like:
            return self._head + array.tobytes()
        response = self.respond(outcome).SerializeToString()
        if not (others or count or array.dtype.kind == "O"):
            values = array.tobytes()
            assert response.endswith(values)  # raw_output_contents is the last field
            self._head, self._like = response[: len(response) - len(values)], like
        return response


def read_outputs(request: pb.ModelInferRequest, version: Version) -> tuple[Outputs, bool]:
    """What a request wants back, in its order, and whether that takes the graph with block statistics.

    Raises:
        InvalidRequest: The model has no such output, or its parameters make no sense.
    """
    if not request.outputs:
        return [(name, 0) for name in version.outputs], False
    found: dict[str, int] = {}
    for output in request.outputs:
        if output.name in found:
            raise InvalidRequest(f"output {output.name} is requested twice; expected each output once", "outputs")
        if output.name not in version.outputs and output.name != BLOCKS:
            name, known = version.description.name, ", ".join(version.outputs)
            raise InvalidRequest(f"output {output.name!r} is unknown to model {name}; its outputs: {known}", "outputs")
        found[output.name] = _class_count(output)
    return list(found.items()), any(name not in version.outputs for name in found)


def _class_count(output: pb.ModelInferRequest.InferRequestedOutputTensor) -> int:
    parameters = output.parameters
    if not parameters:
        return 0
    if "shared_memory_region" in parameters:
        raise InvalidRequest(f"output {output.name} is to go to shared memory; regions are not served", output.name)
    if "classification" not in parameters:
        return 0
    count = parameters["classification"].int64_param
    if count < 1:
        raise InvalidRequest(
            f"the classification of output {output.name} is {count}; expected int64_param of at least 1", output.name
        )
    return count


def timeout_of(request: pb.ModelInferRequest) -> float | None:
    """The seconds that the parameter `timeout` gives a request. If None, it has none.

    Raises:
        InvalidRequest: It makes no sense, or the request is part of a sequence.
    """
    parameters = request.parameters
    if not parameters:
        return None
    for name in ("sequence_id", "sequence_start", "sequence_end"):
        if name in parameters and any(value for _, value in parameters[name].ListFields()):
            raise InvalidRequest(f"the parameter {name} is for stateful models; there are none here", "parameters")
    if "timeout" not in parameters:
        return None
    microseconds = parameters["timeout"].int64_param or parameters["timeout"].uint64_param
    if microseconds < 1:
        raise InvalidRequest("the parameter timeout is to be microseconds, at least 1, as int64_param", "parameters")
    return microseconds / 1e6


def streamed(response: pb.ModelInferResponse) -> pb.ModelStreamInferResponse:
    """The only response to a request of a stream."""
    response.parameters["triton_final_response"].bool_param = True
    return pb.ModelStreamInferResponse(infer_response=response)


def respond(identifier: str, version: Version, wanted: Outputs, outcome: Outcome) -> pb.ModelInferResponse:
    """The response.

    Args:
        identifier: Of the request.
        version: That ran it.
        wanted: See read_outputs.
        outcome: What came of the request.

    Raises:
        InvalidRequest: Classes are wanted of what has none.
    """
    model = version.description
    response = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=identifier)
    for name, count in wanted:
        array: tensors.Array = outcome.output(name)
        if count:
            if array.dtype.kind not in "fiu":
                raise InvalidRequest(f"output {name} holds no numbers: it has no classification", name)
            array = tensors.best_classes(array, count, model.classes if name == LOGITS else ())
        if not version.batched:
            array = array[0]
        datatype = tensors.BY_DTYPE[array.dtype].name
        response.outputs.add(name=name, datatype=datatype, shape=array.shape)
        response.raw_output_contents.append(tensors.to_raw(array))
    return response
