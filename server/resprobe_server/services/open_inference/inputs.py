"""Reads the inputs of ModelInferRequests: from a message to the arrays of a graph.

In the common case, one raw tensor of the graph's own datatype, nothing is copied, converted or sent to another thread.
Tensors that must be converted are converted in the thread pool.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from resprobe._pictures.images import Encoded
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.contract import BLOCK_SCALE, IMAGE

from resprobe_server.errors import InvalidRequest
from resprobe_server.execution import dtypes
from resprobe_server.execution.graph import Arrays, Tensor
from resprobe_server.images.format import Format
from resprobe_server.images.pool import Decoders
from resprobe_server.models.version import Version
from resprobe_server.services.fields import check_finite, check_images
from resprobe_server.services.open_inference import tensors
from resprobe_server.services.open_inference.shared_memory import Place
from resprobe_server.tracer import Tracer

MAX_SIZES = 64  # sizes in a shape, NumPy's maximum
Input = pb.ModelInferRequest.InferInputTensor
Places = Mapping[str, Place]
NO_PLACES: Places = {}


class InputReader:
    """Reads the inputs of requests."""

    def __init__(self, decoders: Decoders, max_images: int, tracer: Tracer) -> None:
        """Creates a reader.

        Args:
            decoders: Convert tensors and decode pictures.
            max_images: Maximum images in a request.
            tracer: Tracer of requests.
        """
        self._decoders, self._max_images, self._tracer = decoders, max_images, tracer

    def view(self, request: pb.ModelInferRequest, version: Version) -> Arrays | None:
        """Returns a view of the inputs in the common case: one raw tensor of the graph's own datatype.

        Returns:
            Arrays by name. If None, it is not the common case, or something is wrong, which `read` finds.
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
        if not 0 < shape[0] <= self._max_images or len(data) != shape[0] * row.bytes:
            return None
        if given.HasField("contents") or given.parameters:
            return None
        return {row.name: np.ndarray(tuple(shape), row.dtype, data)}

    async def read(
        self, request: pb.ModelInferRequest, version: Version, deadline: float, places: Places = NO_PLACES
    ) -> Arrays:
        """Reads the inputs of a request, and converts or decodes them where needed.

        Args:
            request: Request.
            version: Version that runs it.
            deadline: Deadline on the clock of time.monotonic.
            places: Places in shared memory of the inputs that are there, by name.

        Returns:
            Arrays by name, with the batch as the first axis.

        Raises:
            InvalidRequest: They are not the inputs of the model, or break a rule of the protocol.
        """
        raw = request.raw_input_contents
        sent = sum(given.name not in places for given in request.inputs)
        if raw and len(raw) != sent:
            raise InvalidRequest(
                f"there are {len(raw)} raw_input_contents for {sent} inputs; expected one for each",
                "raw_input_contents",
            )
        arrays: dict[str, tensors.Array] = {}
        messages = iter(raw)
        for given in request.inputs:
            place = places.get(given.name)
            tensor = _tensor_of(given, version, bool(raw) or place is not None, arrays)
            data = place or (next(messages) if raw else None)
            arrays[given.name] = await self._read_one(given, data, tensor, version, deadline)
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
        self, given: Input, raw: bytes | Place | None, tensor: Tensor, version: Version, deadline: float
    ) -> tensors.Array:
        name, wanted = tensor.name, tensors.datatype_of(tensor.dtype, f"input {tensor.name}")
        images = version.format if name == IMAGE else None
        datatype = _datatype_of(given, wanted, images)
        files = images is not None and datatype.name == dtypes.BYTES
        _check_shape(given, (None, 1)[: len(given.shape)] or (None,) if files else tensor.shape, version.batched)
        shape = tuple(given.shape)
        if version.batched:
            check_images(shape[0], self._max_images)
        if isinstance(raw, Place):
            raw = await self._decoders.convert(raw.read, raw.size)
        if raw is not None and datatype is wanted and datatype.name != dtypes.BYTES:
            array = tensors.from_raw(raw, datatype, shape, name)
        else:
            size = given.ByteSize() if raw is None else len(raw)
            array = await self._decoders.convert(partial(_convert, given, raw, datatype, wanted), size)
        if images is not None and files:
            array = await self._decode(array, name, images, deadline)
        return array if version.batched else array[np.newaxis]

    async def _decode(self, files: tensors.Array, name: str, images: Format, deadline: float) -> tensors.Array:
        encoded = [Encoded(data, f"{name}[{index}]") for index, data in enumerate(files.flat)]
        with self._tracer.span("decode", images=len(encoded)):
            return (await self._decoders.decode(encoded, images, deadline)).images


def _tensor_of(given: Input, version: Version, is_raw: bool, known: Arrays) -> Tensor:
    """Returns the model's input for an input of a request. Raises InvalidRequest if there is none, or it is `known`."""
    name = given.name
    if is_raw and given.HasField("contents"):
        raise InvalidRequest(f"input {name} has contents beside raw_input_contents; send only one form", name)
    tensor = version.inputs.get(name)
    if tensor is None or name in known:
        what = "given twice" if tensor else f"unknown to model {version.description.name}"
        raise InvalidRequest(f"input {name!r} is {what}; its inputs: {', '.join(version.inputs)}", "inputs")
    if len(given.shape) > MAX_SIZES:
        raise InvalidRequest(
            f"input {name} has a shape of {len(given.shape)} sizes; expected {len(tensor.shape)}", name
        )
    return tensor


def _datatype_of(given: Input, wanted: dtypes.Datatype, images: Format | None) -> dtypes.Datatype:
    """Returns the datatype that an input was sent as. Raises InvalidRequest if the model does not accept it.

    Args:
        given: Input of the request.
        wanted: Datatype of the model's input.
        images: Format of the model's images. If None, the input is not one of images.
    """
    datatype = dtypes.DATATYPES.get(given.datatype)
    if datatype is not None and (
        datatype is wanted or (images is not None and datatype.name in (dtypes.FP32, dtypes.BYTES))
    ):
        return datatype
    also = ", or FP32, or BYTES for JPEG and PNG files" if images is not None else ""
    raise InvalidRequest(
        f"input {given.name} has datatype {given.datatype!r}; expected {wanted.name}{also}", given.name
    )


def _check_shape(given: Input, wanted: tuple[int | None, ...], batched: bool) -> None:
    shape = tuple(given.shape)
    fits = len(shape) == len(wanted) and all(
        size == want if want is not None else size >= 0 for size, want in zip(shape, wanted, strict=True)
    )
    if not fits or (batched and shape[0] == 0):
        sizes = ["n" if size is None else size for size in wanted]
        at_least = ", n at least 1" if batched else ""
        raise InvalidRequest(
            f"input {given.name} has shape {list(shape)}; expected [{', '.join(map(str, sizes))}]{at_least}", given.name
        )


def _convert(given: Input, raw: bytes | None, datatype: dtypes.Datatype, wanted: dtypes.Datatype) -> tensors.Array:
    """Converts a tensor that is not a view of the message to the dtype of the graph; picture files stay bytes."""
    if raw is not None:
        array = tensors.from_raw(raw, datatype, given.shape, given.name)
    else:
        array = tensors.from_values(_contents(given, datatype), datatype, given.shape, given.name)
    if wanted.name == dtypes.BYTES:
        return tensors.to_text(array, given.name)
    if datatype is not wanted and datatype.name == dtypes.FP32:
        return tensors.to_pixels(array, given.name)
    return array


def _contents(given: Input, datatype: dtypes.Datatype) -> Sequence[Any]:
    filled = [field.name for field, _ in given.contents.ListFields()]
    if not datatype.contents:
        raise InvalidRequest(f"input {given.name} is {datatype.name}, which raw_input_contents alone can carry")
    if filled not in ([], [datatype.contents]):
        raise InvalidRequest(
            f"input {given.name} has {', '.join(filled)}; {datatype.name} belongs into {datatype.contents}", given.name
        )
    values: Sequence[Any] = getattr(given.contents, datatype.contents)
    return values
