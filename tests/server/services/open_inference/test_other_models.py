"""Models that were made elsewhere, with tensors of their own."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server.config import Config

from tests.support.open_inference import Array, arrays, strings, tensor
from tests.support.served_graphs import HALF, REAL, TEXT, node, write
from tests.support.servers import Serve

INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def foreign(start: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GRPCInferenceServiceStub]:
    """A stub to a server of models without images."""
    root, rows = tmp_path_factory.mktemp("foreign"), ["n", 3]
    write(root / "sum", [node("Add", "a b", "c")], {"a": (REAL, rows), "b": (REAL, rows)}, {"c": (REAL, rows)})
    write(root / "half", [node("Neg", "a", "b")], {"a": (HALF, rows)}, {"b": (HALF, rows)})
    write(root / "text", [node("Identity", "a", "b")], {"a": (TEXT, ["n"])}, {"b": (TEXT, ["n"])})
    taken = {"a": (REAL, [2, "k"]), "b": (REAL, ["k", 2])}
    write(root / "whole", [node("MatMul", "a b", "c")], taken, {"c": (REAL, [2, 2])})
    with start(root, max_batch=2) as address, grpc.insecure_channel(address) as opened:
        yield GRPCInferenceServiceStub(opened)


def ask(stub: GRPCInferenceServiceStub, model: str, **given: Array) -> pb.ModelInferResponse:
    datatypes = {"float32": "FP32", "float16": "FP16"}
    inputs = [tensor(name, datatypes[str(array.dtype)], array.shape) for name, array in given.items()]
    raw = [array.tobytes() for array in given.values()]
    return stub.ModelInfer(pb.ModelInferRequest(model_name=model, inputs=inputs, raw_input_contents=raw))


def test_other_models_are_served_with_their_own_tensors(foreign: GRPCInferenceServiceStub) -> None:
    a, b = np.arange(15, dtype=np.float32).reshape(5, 3), np.ones((5, 3), np.float32)
    np.testing.assert_array_equal(arrays(ask(foreign, "sum", b=b, a=a))["c"], a + b)
    half = a.astype(np.float16)
    np.testing.assert_array_equal(arrays(ask(foreign, "half", a=half))["b"], -half)
    text = tensor("a", "BYTES", (3,), bytes_contents=["é".encode(), b"", b"x"])
    response = foreign.ModelInfer(pb.ModelInferRequest(model_name="text", inputs=[text]))
    assert [strings(raw) for raw in response.raw_output_contents] == [["é".encode(), b"", b"x"]]


def test_a_model_without_a_batch_axis_runs_request_by_request(foreign: GRPCInferenceServiceStub) -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(arrays(ask(foreign, "whole", a=a, b=b))["c"], a @ b)
    np.testing.assert_array_equal(arrays(ask(foreign, "whole", a=a[:, :0], b=b[:0]))["c"], np.zeros((2, 2)))
    queue = foreign.ModelConfig(pb.ModelConfigRequest(name="sum")).config.dynamic_batching.default_queue_policy
    assert queue.max_queue_size == Config().max_queue
    configs = {name: foreign.ModelConfig(pb.ModelConfigRequest(name=name)).config for name in ("whole", "sum")}
    assert [(name, config.max_batch_size) for name, config in configs.items()] == [("whole", 0), ("sum", 2)]
    assert [list(configs[name].input[0].dims) for name in configs] == [[2, -1], [3]]


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        ("sum", {"a": (2, 3)}, "missing from the request: input b"),
        ("sum", {"a": (2, 3), "b": (1, 3)}, "the inputs have different batches: a 2, b 1; expected the same for all"),
        ("whole", {"a": (1, 3), "b": (3, 2)}, r"input a has shape \[1, 3\]; expected \[2, n\]"),
        ("half", {"a": (1, 3)}, "input a has datatype 'FP32'; expected FP16"),
    ],
)
def test_what_other_models_refuse(
    foreign: GRPCInferenceServiceStub, model: str, given: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(grpc.RpcError, match=message) as caught:
        ask(foreign, model, **{name: np.zeros(shape, np.float32) for name, shape in given.items()})
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == INVALID


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (
            "half",
            tensor("a", "FP16", (1, 3), fp32_contents=[1, 2, 3]),
            "input a is FP16, which raw_input_contents",
        ),
        ("text", tensor("a", "BYTES", (1,), bytes_contents=[b"\xff"]), "input a is not UTF-8"),
    ],
)
def test_contents_that_no_model_takes(foreign: GRPCInferenceServiceStub, model: str, given: Any, message: str) -> None:
    with pytest.raises(grpc.RpcError, match=message) as caught:
        foreign.ModelInfer(pb.ModelInferRequest(model_name=model, inputs=[given]))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == INVALID
