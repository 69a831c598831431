"""Messages of the Open Inference Protocol, and the arrays in them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from resprobe_protos import open_inference_pb2 as pb

Array = npt.NDArray[Any]


def tensor(name: str, datatype: str, shape: tuple[int, ...], **contents: Any) -> Any:
    """An input as keyword arguments of its message."""
    return {"name": name, "datatype": datatype, "shape": shape, **({"contents": contents} if contents else {})}


def raw_request(images: Array, **fields: Any) -> pb.ModelInferRequest:
    datatype = {"uint8": "UINT8", "float32": "FP32"}[str(images.dtype)]
    message: dict[str, Any] = {"model_name": "digits", "raw_input_contents": [images.tobytes()]}
    return pb.ModelInferRequest(**{**message, "inputs": [tensor("image", datatype, images.shape)], **fields})


def arrays(response: pb.ModelInferResponse) -> dict[str, Array]:
    dtypes = {"FP32": np.float32, "FP16": np.float16, "INT64": np.int64, "UINT8": np.uint8}
    assert len(response.outputs) == len(response.raw_output_contents)
    return {
        output.name: np.frombuffer(raw, dtypes[output.datatype]).reshape(tuple(output.shape))
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def strings(raw: bytes) -> list[bytes]:
    found = []
    while raw:
        size = int.from_bytes(raw[:4], "little")
        found.append(raw[4 : 4 + size])
        raw = raw[4 + size :]
    return found


def close(one: Array, two: Array) -> None:
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)


Run = Callable[[Array], tuple[Array, Array]]
