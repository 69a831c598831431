"""Requests that wait for graphs are bounded in bytes, all models together; an idle server accepts any size."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server.errors import QueueFull
from resprobe_server.execution.graph import Arrays
from resprobe_server.scheduling.batcher import BatchOptions
from resprobe_server.scheduling.budget import MIB, Budget
from resprobe_server.scheduling.request import size_of
from resprobe_server.scheduling.worker import Device

from tests.support.served_graphs import REAL, node, write
from tests.support.servers import Serve


@given(sizes=st.lists(st.integers(0, 50), max_size=30), order=st.randoms())
def test_a_budget_is_kept_and_given_back(sizes: list[int], order: Any) -> None:
    budget, held = Budget(100), list[int]()
    for size in sizes:
        try:
            budget.take(size, 1)
            held.append(size)
        except QueueFull:
            assert sum(held) + size > 100
        assert budget.held == sum(held) <= 100
        if held and order.random() < 0.3:
            budget.give_back(held.pop())
    for size in held:
        budget.give_back(size)
    assert budget.held == 0
    with budget.holding(1000, 1):  # nothing is held
        assert budget.held == 1000
    assert budget.held == 0


class Gate:
    """A graph that runs when its gate is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def run(self, inputs: Arrays) -> Arrays:
        assert self.opened.wait(30)
        return inputs


def test_all_graphs_share_the_bytes(tmp_path: Path) -> None:
    async def drive() -> None:
        gate, budget = Gate(), Budget(3 * MIB, "wait")
        rows = {"x": np.zeros((1, MIB), np.uint8)}
        async with Device(budget=budget) as device:
            one, two = (device.batcher(gate, BatchOptions(4, 100)) for _ in range(2))
            accepted = [one.submit(rows), one.submit(rows), two.submit(rows)]
            with pytest.raises(QueueFull, match=r"3.0 MiB wait, and 1.0 more would be over the limit of 3") as caught:
                two.submit(rows)
            assert caught.value.retry_after > 0
            assert (one.pending, two.pending, two.counters.refused) == (2, 1, 1)
            gate.opened.set()
            await asyncio.gather(*accepted)
            assert budget.held == 0
            await two.submit({"x": np.zeros((1, 9 * MIB), np.uint8)})
            cancelled = one.submit(rows)
            cancelled.cancel()
        await asyncio.sleep(0)
        assert budget.held == 0

    asyncio.run(drive())


def test_strings_count_with_what_they_hold() -> None:
    assert size_of({"x": np.array(["a" * 1000, "b" * 1000], object), "y": np.zeros(3)}) > 2000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose requests are viewed in place, and one whose messages are held beside its inputs."""
    made = tmp_path_factory.mktemp("waiting")
    for name, size in (("viewed", 200_000), ("parsed", "m")):
        write(made / name, [node("Neg", "x", "y")], {"x": (REAL, ["n", size])}, {"y": (REAL, ["n", size])})
    return made


def request(model: str, rows: int, floats: int) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[rows, floats])
    return pb.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=[bytes(4 * rows * floats)])


@pytest.mark.parametrize(("model", "floats"), [("viewed", 200_000), ("parsed", 100_000)])
def test_a_large_request_is_accepted_alone_and_two_are_not(start: Serve, root: Path, model: str, floats: int) -> None:
    """Batches of this server wait until they have two rows."""
    with (
        start(root, max_batch=2, max_wait=600_000, max_waiting=1, threads=1) as address,
        grpc.insecure_channel(address) as channel,
    ):
        ask(GRPCInferenceServiceStub(channel), model, floats)


def ask(stub: GRPCInferenceServiceStub, model: str, floats: int) -> None:
    assert list(stub.ModelInfer(request(model, 2, 200_000)).outputs[0].shape) == [2, 200_000]
    done = threading.Event()
    large = request(model, 1, floats)
    futures = [stub.ModelInfer.future(large) for _ in range(2)]
    for future in futures:
        future.add_done_callback(lambda _: done.set())
    assert done.wait(30)
    (refused,), (other,) = ([one for one in futures if one.done() is which] for which in (True, False))
    other.cancel()
    assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "0.8 MiB of images and tensors are waiting, and 0.8 more would be over the limit of 1" in refused.details()
    details = dict(refused.trailing_metadata())["grpc-status-details-bin"]
    (detail,) = status_pb2.Status.FromString(details).details
    retry = error_details_pb2.RetryInfo()
    assert detail.Unpack(retry)
    assert retry.retry_delay.ToNanoseconds() > 0
