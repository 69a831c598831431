"""ModelInfer's messages: from a request to what a graph takes, and from what it returned to the response.

In the common case, one raw tensor that is what the graph takes, nothing is copied, converted or handed to another
thread. What has to be converted is, in the thread pool.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from resprobe.images import Encoded
from resprobe_protos import open_inference_pb2 as pb

from resprobe_server import tensors
from resprobe_server.batching import Outcome
from resprobe_server.config import Config
from resprobe_server.decode import check_finite, check_images, decode_all
from resprobe_server.errors import InvalidRequest
from resprobe_server.repository import BLOCK_SCALE, BLOCKS, IMAGE, LOGITS
from resprobe_server.session import Arrays, Tensor
from resprobe_server.status import Context, deadline_of
from resprobe_server.version import Version

if TYPE_CHECKING:
    from resprobe_server.tracing import Tracing

Outputs = Sequence[tuple[str, int]]  # name, and how many best classes to return instead of values; 0: values
Input = pb.ModelInferRequest.InferInputTensor


class InputReader:
    """Reads the inputs of requests."""

    def __init__(self, decoders: Executor, config: Config, tracing: "Tracing | None" = None) -> None:
        """Makes it.

        Args:
            decoders: Where tensors are converted and pictures are decoded.
            config: Its limits on images and pixels.
            tracing: None: there are no traces.
        """
        self._decoders, self._config, self._tracing = decoders, config, tracing

    def view(self, request: pb.ModelInferRequest, version: Version) -> Arrays | None:
        """The inputs of the common case: one raw tensor that is what the graph takes, whose bytes are viewed.

        Returns:
            As `read`; None: it is not the common case, or not right, and `read` is to look at it.
        """
        row, inputs, raw = version.row, request.inputs, request.raw_input_contents
        if row is None or len(inputs) != 1 or len(raw) != 1:
            return None
        given, data = inputs[0], raw[0]
        shape: list[int] = given.shape[:]
        if given.datatype != row.datatype or given.name != row.name or shape[1:] != row.shape:
            return None
        if not 0 < shape[0] <= self._config.max_images or len(data) != shape[0] * row.bytes:
            return None
        if given.HasField("contents") or given.parameters:
            return None
        return {row.name: np.ndarray(tuple(shape), row.dtype, data)}

    async def read(self, request: pb.ModelInferRequest, version: Version) -> Arrays:
        """The inputs of a graph.

        Returns:
            By name, with the batch as the first axis.

        Raises:
            InvalidRequest: They are not those of the model, or break a rule of the protocol.
        """
        raw = request.raw_input_contents
        if raw and len(raw) != len(request.inputs):
            raise InvalidRequest(
                f"there are {len(raw)} raw_input_contents for {len(request.inputs)} inputs; expected one for each",
                "raw_input_contents",
            )
        arrays: dict[str, tensors.Array] = {}
        for index, given in enumerate(request.inputs):
            name = given.name
            if raw and given.HasField("contents"):
                raise InvalidRequest(f"input {name} has contents beside raw_input_contents; send only one form", name)
            tensor = version.inputs.get(name)
            if tensor is None or name in arrays:
                what = "given twice" if tensor else f"unknown to model {version.description.name}"
                raise InvalidRequest(f"input {name!r} is {what}; its inputs: {', '.join(version.inputs)}", "inputs")
            if given.parameters and "shared_memory_region" in given.parameters:
                raise InvalidRequest(f"input {name} is in shared memory; send its bytes: regions are not served", name)
            arrays[name] = await self._read_one(given, raw[index] if raw else None, tensor, version)
        if len(arrays) < len(version.inputs):
            missing = ", ".join(name for name in version.inputs if name not in arrays)
            raise InvalidRequest(f"missing from the request: input {missing}", "inputs")
        if len({len(array) for array in arrays.values()}) > 1:
            sizes = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
            raise InvalidRequest(f"the inputs have different batches: {sizes}; expected the same for all", "inputs")
        if version.is_lesioned:
            check_finite(arrays[BLOCK_SCALE], BLOCK_SCALE)
        return arrays

    async def _read_one(self, given: Input, raw: bytes | None, tensor: Tensor, version: Version) -> tensors.Array:
        name, shape = tensor.name, tuple(given.shape)
        taken = tensors.datatype_of(tensor.dtype, f"input {name}")
        is_image = version.format is not None and name == IMAGE
        datatype = tensors.DATATYPES.get(given.datatype)
        if datatype is not taken and not (is_image and given.datatype in (tensors.FP32, tensors.BYTES)):
            also = ", or FP32, or BYTES for JPEG and PNG files" if is_image else ""
            raise InvalidRequest(f"input {name} has datatype {given.datatype!r}; expected {taken.name}{also}", name)
        assert datatype is not None
        is_encoded = is_image and datatype.name == tensors.BYTES
        _check_shape(shape, (None, 1)[: len(shape)] or (None,) if is_encoded else tensor.shape, version.batched, name)
        if version.batched:
            check_images(shape[0], self._config.max_images)
        if raw is not None and datatype is taken and datatype.name != tensors.BYTES:
            array = tensors.from_raw(raw, datatype, shape, name)
        else:
            loop = asyncio.get_running_loop()
            array = await loop.run_in_executor(self._decoders, _convert, given, raw, datatype, taken)
            if is_encoded:
                files = [Encoded(data, f"{name}[{index}]") for index, data in enumerate(array.flat)]
                with self._tracing.span("decode", images=len(files)) if self._tracing else nullcontext():
                    array = await decode_all(files, version.images(), self._config.pixel_limit, self._decoders)
        return array if version.batched else array[np.newaxis]


def _check_shape(shape: tuple[int, ...], wanted: tuple[int | None, ...], batched: bool, name: str) -> None:
    if batched and shape and shape[1:] == wanted[1:] and shape[0] > 0:
        return  # the common case
    fits = len(shape) == len(wanted) and all(
        size == want if want is not None else size >= 0 for size, want in zip(shape, wanted, strict=True)
    )
    if not fits or (batched and shape[0] == 0):
        sizes = ["n" if size is None else size for size in wanted]
        at_least = ", n at least 1" if batched else ""
        raise InvalidRequest(
            f"input {name} has shape {list(shape)}; expected [{', '.join(map(str, sizes))}]{at_least}", name
        )


def _convert(given: Input, raw: bytes | None, datatype: tensors.Datatype, taken: tensors.Datatype) -> tensors.Array:
    """A tensor that is not a view of the message, in the dtype that the graph takes; encoded pictures as bytes."""
    if raw is not None:
        array = tensors.from_raw(raw, datatype, given.shape, given.name)
    else:
        array = tensors.from_values(_contents(given, datatype), datatype, given.shape, given.name)
    if taken.name == tensors.BYTES:
        return tensors.to_text(array, given.name)
    if datatype is not taken and datatype.name == tensors.FP32:
        return tensors.to_pixels(array, given.name)
    return array


def _contents(given: Input, datatype: tensors.Datatype) -> Sequence[Any]:
    filled = [field.name for field, _ in given.contents.ListFields()]
    if not datatype.contents:
        raise InvalidRequest(f"input {given.name} is {datatype.name}, which travels in raw_input_contents only")
    if filled not in ([], [datatype.contents]):
        raise InvalidRequest(
            f"input {given.name} has {', '.join(filled)}; {datatype.name} belongs into {datatype.contents}", given.name
        )
    values: Sequence[Any] = getattr(given.contents, datatype.contents)
    return values


def read_outputs(request: pb.ModelInferRequest, version: Version) -> tuple[Outputs, bool]:
    """What a request wants back, in its order, and whether that takes the graph with block statistics.

    Raises:
        InvalidRequest: The model has no such output, or its parameters make no sense.
    """
    if not request.outputs:
        return [(name, 0) for name in version.outputs], False
    found = []
    for output in request.outputs:
        if output.name not in version.outputs and output.name != BLOCKS:
            name, known = version.description.name, ", ".join(version.outputs)
            raise InvalidRequest(f"output {output.name!r} is unknown to model {name}; its outputs: {known}", "outputs")
        found.append((output.name, _class_count(output)))
    return found, any(name not in version.outputs for name, _ in found)


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
    """The seconds that the parameter `timeout` gives a request; None: it has none.

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


class Plan:
    """How a request is answered, and others that differ from it in the contents of their tensors only.

    Attributes:
        identifier: Of the request.
        version: That it names.
        batcher: For its graph.
        analyses: Whether this takes the right to analyse.
    """

    __slots__ = ("_head", "_like", "_timeout", "_wanted", "analyses", "batcher", "identifier", "version")

    def __init__(self, request: pb.ModelInferRequest, version: Version) -> None:
        """Makes it for a request that names this version.

        Raises:
            InvalidRequest: The request does not make sense.
            NotSupported: The version has no graph that answers it.
        """
        self.identifier, self.version, self._timeout = request.id, version, timeout_of(request)
        self._wanted, with_blocks = read_outputs(request, version)
        self.analyses = with_blocks or version.is_lesioned
        self.batcher = version.batcher(with_blocks, with_scale=False)
        self._head = b""  # of a response up to its values, which are an array of this shape and dtype
        self._like: tuple[tuple[int, ...], np.dtype[Any]] | None = None

    def due(self, context: Context) -> float:
        """When an answer is due, on the clock of time.monotonic."""
        deadline = deadline_of(context)
        return deadline if self._timeout is None else min(deadline, time.monotonic() + self._timeout)

    def respond(self, outcome: Outcome) -> pb.ModelInferResponse:
        """The response. Raises InvalidRequest if classes are wanted of what has none."""
        return respond(self.identifier, self.version, self._wanted, outcome.outputs)

    def serialize_streamed(self, outcome: Outcome) -> bytes:
        """The response in a stream as it travels; see `respond`."""
        return streamed(self.respond(outcome)).SerializeToString()

    def serialize(self, outcome: Outcome) -> bytes:
        """The response as it travels; see `respond`. What is the same each time is made once."""
        (name, count), *others = self._wanted
        array: tensors.Array = outcome.outputs[name]
        like = array.shape, array.dtype
        if like == self._like:
            return self._head + array.tobytes()
        response = self.respond(outcome).SerializeToString()
        if not (others or count or array.dtype.kind == "O"):
            values = array.tobytes()
            assert response.endswith(values)  # raw_output_contents is the last field
            self._head, self._like = response[: len(response) - len(values)], like
        return response


def streamed(response: pb.ModelInferResponse) -> pb.ModelStreamInferResponse:
    """The only response to a request of a stream."""
    response.parameters["triton_final_response"].bool_param = True
    return pb.ModelStreamInferResponse(infer_response=response)


def respond(identifier: str, version: Version, wanted: Outputs, outputs: Arrays) -> pb.ModelInferResponse:
    """The response.

    Args:
        identifier: Of the request.
        version: That ran it.
        wanted: See read_outputs.
        outputs: What the graph returned.

    Raises:
        InvalidRequest: Classes are wanted of what has none.
    """
    model = version.description
    response = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=identifier)
    for name, count in wanted:
        array: tensors.Array = outputs[name]
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
