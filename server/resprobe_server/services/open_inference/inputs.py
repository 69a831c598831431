"""The inputs of ModelInfer's requests: from a message to what a graph takes.

In the common case, one raw tensor that is what the graph takes, nothing is copied, converted or handed to another
thread. What has to be converted is, in the thread pool.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from resprobe._pictures.images import Encoded
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.contract import BLOCK_SCALE, IMAGE

from resprobe_server.config import Config
from resprobe_server.errors import InvalidRequest
from resprobe_server.execution import tensors
from resprobe_server.execution.session import Arrays, Tensor
from resprobe_server.images.decode import check_finite, check_images
from resprobe_server.images.pool import Decoders
from resprobe_server.models.version import Version

if TYPE_CHECKING:
    from resprobe_server.observability.traces import Tracing

MOST_SIZES = 64  # NumPy's maximum
Input = pb.ModelInferRequest.InferInputTensor


class InputReader:
    """Reads the inputs of requests."""

    def __init__(self, decoders: Decoders, config: Config, tracing: "Tracing | None" = None) -> None:
        """Makes it.

        Args:
            decoders: Where tensors are converted and pictures are decoded.
            config: Its limits on images and pixels.
            tracing: Traces requests. If None, there are no traces.
        """
        self._decoders, self._config, self._tracing = decoders, config, tracing

    def view(self, request: pb.ModelInferRequest, version: Version) -> Arrays | None:
        """The inputs of the common case: one raw tensor that is what the graph takes, whose bytes are viewed.

        Returns:
            As `read`. If None, it is not the common case, or not right, and `read` is to look at it.
        """
        row, inputs, raw = version.row, request.inputs, request.raw_input_contents
        if row is None or len(inputs) != 1 or len(raw) != 1:
            return None
        given, data = inputs[0], raw[0]
        if len(given.shape) != len(row.shape) + 1:
            return None
        shape: list[int] = given.shape[:]
        if given.datatype != row.datatype or given.name != row.name or shape[1:] != row.shape:
            return None
        if not 0 < shape[0] <= self._config.max_images or len(data) != shape[0] * row.bytes:
            return None
        if given.HasField("contents") or given.parameters:
            return None
        return {row.name: np.ndarray(tuple(shape), row.dtype, data)}

    async def read(self, request: pb.ModelInferRequest, version: Version, deadline: float) -> Arrays:
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
            arrays[name] = await self._read_one(given, raw[index] if raw else None, tensor, version, deadline)
        if len(arrays) < len(version.inputs):
            missing = ", ".join(name for name in version.inputs if name not in arrays)
            raise InvalidRequest(f"missing from the request: input {missing}", "inputs")
        if len({len(array) for array in arrays.values()}) > 1:
            sizes = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
            raise InvalidRequest(f"the inputs have different batches: {sizes}; expected the same for all", "inputs")
        if version.is_lesioned:
            check_finite(arrays[BLOCK_SCALE], BLOCK_SCALE)
        return arrays

    async def _read_one(
        self, given: Input, raw: bytes | None, tensor: Tensor, version: Version, deadline: float
    ) -> tensors.Array:
        name = tensor.name
        if len(given.shape) > MOST_SIZES:
            raise InvalidRequest(
                f"input {name} has a shape of {len(given.shape)} sizes; expected {len(tensor.shape)}", name
            )
        shape = tuple(given.shape)
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
            size = given.ByteSize() if raw is None else len(raw)
            array = await self._decoders.convert(partial(_convert, given, raw, datatype, taken), size)
            if is_encoded:
                files = [Encoded(data, f"{name}[{index}]") for index, data in enumerate(array.flat)]
                with self._tracing.span("decode", images=len(files)) if self._tracing else nullcontext():
                    assert version.format is not None
                    array = (await self._decoders.decode(files, version.format, deadline)).images
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
