"""A request for an imported model with free axes changes nothing for other clients, by its shape or by its values."""

import asyncio
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, save
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server.errors import InvalidRequest
from resprobe_server.execution.providers import Provider
from resprobe_server.execution.session import LONGEST_REASON, Session, shorten
from resprobe_server.scheduling.batcher import BatchOptions
from resprobe_server.scheduling.request import Outcome
from resprobe_server.scheduling.worker import Device

from tests.support.servers import Serve

TABLE = np.arange(0.0, 5.0, dtype=np.float32)


def gather(path: Path) -> Path:
    """Makes y = table[i], for i int64 [n, m]: indices out of range make it fail."""
    taken = helper.make_tensor_value_info("i", TensorProto.INT64, ["n", "m"])
    returned = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])
    table = helper.make_tensor("table", TensorProto.FLOAT, [len(TABLE)], TABLE)
    graph = helper.make_graph([helper.make_node("Gather", ["table", "i"], ["y"])], "g", [taken], [returned], [table])
    path.parent.mkdir(parents=True, exist_ok=True)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(gather(tmp_path_factory.mktemp("gather") / "model.onnx"), Provider(threads=1))


REQUESTS = st.lists(
    st.tuples(st.integers(1, 7), st.integers(1, 3), st.sampled_from([0, 0, 0, 1, 2, 3])),  # rows, width, bad values
    min_size=1,
    max_size=20,
)


@given(requests=REQUESTS, max_batch=st.integers(1, 9), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_nobody_gets_the_answer_or_the_error_of_another(
    session: Session, requests: list[tuple[int, int, int]], max_batch: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sent = []
    for rows, width, bad in requests:
        indices = rng.integers(0, len(TABLE), (rows, width))
        indices.reshape(-1)[rng.integers(0, indices.size, bad)] = 99
        sent.append(indices)

    async def drive() -> list[Any]:
        async with Device() as device:
            batcher = device.batcher(session, BatchOptions(max_batch, 10**6, uniform=False))
            futures = [batcher.submit({"i": indices}, math.inf) for indices in sent]
            answers = await asyncio.gather(*futures, return_exceptions=True)
        failed = sum((indices == 99).any() for indices in sent)
        assert (batcher.pending, batcher.counters.served, batcher.counters.failed) == (0, len(sent) - failed, failed)
        return answers

    for indices, answer in zip(sent, asyncio.run(drive()), strict=True):
        if (indices == 99).any():
            assert isinstance(answer, InvalidRequest)
            assert "idx=99 must be within the inclusive range [-5,4]" in str(answer)
        else:
            assert isinstance(answer, Outcome)
            np.testing.assert_array_equal(answer.output("y"), TABLE[indices])


def test_the_oldest_is_next_whatever_its_shape(session: Session) -> None:
    async def drive() -> list[int]:
        order: list[int] = []

        def note(place: int, _: object) -> None:
            order.append(place)

        async with Device() as device:
            batcher = device.batcher(session, BatchOptions(2, 100, max_wait=60, uniform=False))
            for place, width in enumerate((1, 2, 1, 3, 1, 2)):
                future = batcher.submit({"i": np.zeros((1, width), np.int64)})
                future.add_done_callback(partial(note, place))
        await asyncio.sleep(0)
        return order

    assert asyncio.run(drive()) == [0, 2, 1, 5, 3, 4]


@pytest.fixture(scope="module")
def stub(start: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GRPCInferenceServiceStub]:
    root = tmp_path_factory.mktemp("foreign")
    gather(root / "table" / "1" / "model.onnx")
    with start(root, max_batch=4, threads=1) as address, grpc.insecure_channel(address) as channel:
        yield GRPCInferenceServiceStub(channel)


def request(indices: npt.NDArray[np.int64]) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="i", datatype="INT64", shape=indices.shape)
    return pb.ModelInferRequest(model_name="table", inputs=[tensor], raw_input_contents=[indices.tobytes()])


def test_a_value_that_a_graph_cannot_take_is_the_callers_fault(stub: GRPCInferenceServiceStub) -> None:
    with pytest.raises(grpc.RpcError, match=r"cannot work with these inputs: .*indices element out of") as caught:
        stub.ModelInfer(request(np.full((1, 1), 99)))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_reason_is_one_short_line_without_paths() -> None:
    long = (
        "[ONNXRuntimeError] : 1 : FAIL : while running. /onnxruntime_src/core/reshape_helper.h:91 so\n it " + "x" * 999
    )
    assert shorten(long).startswith("while running. so it xxx")
    assert len(shorten(long)) == LONGEST_REASON
