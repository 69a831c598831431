"""Makes ModelInferResponses: tensors, or the best classes as text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import Message
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.contract import LOGITS

from resprobe_server.errors import InvalidRequest
from resprobe_server.execution.dtypes import BY_DTYPE
from resprobe_server.models.version import Version
from resprobe_server.scheduling.request import Outcome
from resprobe_server.services.open_inference import tensors
from resprobe_server.services.open_inference.shared_memory import Place

Outputs = Sequence[tuple[str, int]]  # name, and number of best classes to return; 0 means the values themselves
Wrap = Callable[[pb.ModelInferResponse], Message]


def unwrapped(response: pb.ModelInferResponse) -> Message:
    """Returns the response of a unary call: as it is."""
    return response


def streamed(response: pb.ModelInferResponse) -> Message:
    """Returns the only response to a request of a stream."""
    response.parameters["triton_final_response"].bool_param = True
    return pb.ModelStreamInferResponse(infer_response=response)


class ResponseWriter:
    """Writes the responses to requests that differ in the values of their tensors only.

    The bytes before the values are the same each time that the outputs have the same shape; they are made once.
    """

    __slots__ = ("_first", "_head", "_identifier", "_likeness", "_outputs", "_places", "_repeats", "_version", "_wrap")

    def __init__(
        self, identifier: str, version: Version, outputs: Outputs, wrap: Wrap, places: Mapping[str, Place]
    ) -> None:
        """Creates a writer.

        Args:
            identifier: Id of the requests.
            version: Version that runs them.
            outputs: Outputs that they ask for, in this order.
            wrap: Makes the message that is sent from a response.
            places: Places in shared memory of the outputs that are written there, by name.
        """
        self._identifier, self._version, self._outputs, self._wrap = identifier, version, outputs, wrap
        self._places = places
        self._first, count = outputs[0]
        self._repeats = len(outputs) == 1 and not (
            count or places
        )  # whether a response can end with the values of its only output
        self._head = b""  # bytes before the values of an array of this shape and dtype
        self._likeness: tuple[tuple[int, ...], np.dtype[Any]] | None = None

    def serialize(self, outcome: Outcome) -> bytes:
        """Returns the serialized response. Raises InvalidRequest if classes are asked for of a tensor that has none."""
        array: tensors.Array = outcome.output(self._first)
        likeness = array.shape, array.dtype
        if likeness == self._likeness:
            return self._head + array.tobytes()
        data = self._wrap(self._respond(outcome)).SerializeToString()
        if self._repeats and array.dtype.kind != "O":
            values = array.tobytes()
            if data.endswith(values):  # raw_output_contents is the last field
                self._head, self._likeness = data[: len(data) - len(values)], likeness
        return data

    def _respond(self, outcome: Outcome) -> pb.ModelInferResponse:
        version, model = self._version, self._version.description
        response = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=self._identifier)
        for name, count in self._outputs:
            array: tensors.Array = outcome.output(name)
            if count:
                if array.dtype.kind not in "fiu":
                    raise InvalidRequest(f"output {name} holds no numbers: it has no classification", name)
                array = tensors.best_classes(array, count, model.classes if name == LOGITS else ())
            if not version.batched:
                array = array[0]
            datatype = BY_DTYPE[array.dtype].name
            output, data = response.outputs.add(name=name, datatype=datatype, shape=array.shape), tensors.to_raw(array)
            if (place := self._places.get(name)) is not None:
                place.write(data, name)
                place.describe(output, len(data))
                data = b""
            response.raw_output_contents.append(data)
        return response
