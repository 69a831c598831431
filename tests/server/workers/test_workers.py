"""Several workers behave as one server: for calls, for control, for metrics, and when one of them dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import resprobe
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import rollout_pb2 as rollout
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_protos.rollout_pb2_grpc import RolloutServiceStub

from tests.support.replicas import while_asking
from tests.support.waiting import until
from tests.support.workers import Workers, each, workers

IMAGE = np.zeros((8, 8, 1), np.uint8)
INFER = "inference.GRPCInferenceService/ModelInfer"
REQUEST = oip.ModelInferRequest(
    model_name="digits",
    inputs=[oip.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=(1, 8, 8, 1))],
    raw_input_contents=[bytes(64)],
)


@pytest.fixture(scope="module")
def pair(repository: Path) -> Iterator[Workers]:
    """Two workers with the model digits; each test leaves it loaded, and both workers alive."""
    with workers(repository, "--mode", "explicit", "--load", "digits", "--ratio-sample", "1") as found:
        yield found


def infer(channel: grpc.Channel) -> str:
    return str(GRPCInferenceServiceStub(channel).ModelInfer(REQUEST, timeout=60).model_version)


def is_ready(channel: grpc.Channel) -> bool:
    return bool(GRPCInferenceServiceStub(channel).ModelReady(oip.ModelReadyRequest(name="digits"), timeout=60).ready)


def statistics(channel: grpc.Channel) -> int:
    request = oip.ModelStatisticsRequest(name="digits")
    found = GRPCInferenceServiceStub(channel).ModelStatistics(request, timeout=60).model_stats
    assert [one.version for one in found] == ["1", "2"]
    return sum(one.inference_count for one in found)


def test_requests_and_counters_add_up(pair: Workers) -> None:
    before, counted = pair.metrics.total("resprobe_requests_total", method=INFER), each(pair.address, statistics, 1)[0]
    each(pair.address, infer, 24)
    assert pair.metrics.total("resprobe_requests_total", method=INFER) == before + 24
    assert {*each(pair.address, statistics)} == {counted + 24}
    found = pair.metrics
    assert found.value("resprobe_workers") == 2
    assert found.value("resprobe_model_info", **labels(found)) == 1
    assert found.total("resprobe_request_seconds_count", method=INFER) == before + 24


def labels(found: object) -> dict[str, str]:
    provider = {"model": "digits", "version": "2", "provider": "CPUExecutionProvider", "default": "true"}
    return provider | {"precision": "float32"}


def test_models_are_loaded_and_unloaded_in_all_workers(pair: Workers) -> None:
    with grpc.insecure_channel(pair.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        stub.RepositoryModelUnload(oip.RepositoryModelUnloadRequest(model_name="digits"), timeout=60)
        assert each(pair.address, is_ready) == [False] * 16
        pair.replaced(lambda: os.kill(pair.pids()[0], signal.SIGKILL))
        assert each(pair.address, is_ready) == [False] * 16  # a new one takes over what the others have
        until(lambda: load(pair.address))
        assert each(pair.address, is_ready) == [True] * 16


def load(address: str) -> bool:
    """Loads the model over a connection of its own: the worker of an older one may have been killed."""
    with grpc.insecure_channel(address) as channel:
        request = oip.RepositoryModelLoadRequest(model_name="digits")
        GRPCInferenceServiceStub(channel).RepositoryModelLoad(request, timeout=60)
    return True


def test_a_candidate_is_that_of_all_workers_and_is_promoted_in_all(pair: Workers) -> None:
    def shadow(channel: grpc.Channel) -> rollout.Shadow:
        found = RolloutServiceStub(channel).GetShadow(rollout.GetShadowRequest(model="digits"), timeout=60)
        return found.shadow

    with grpc.insecure_channel(pair.address) as channel:
        stub = RolloutServiceStub(channel)
        stub.SetShadow(rollout.SetShadowRequest(model="digits", version="2", share=1.0), timeout=60)
        assert {*each(pair.address, infer, 24)} == {"1"}
        until(lambda: (seen := shadow(channel)).image_count + seen.dropped_count == 24)
        assert {(one.version, one.current_version) for one in each(pair.address, shadow)} == {("2", "1")}
        stub.PromoteModel(rollout.PromoteModelRequest(model="digits"), timeout=60)
        assert {*each(pair.address, infer)} == {"2"}
        stub.RollbackModel(rollout.RollbackModelRequest(model="digits"), timeout=60)
        assert {*each(pair.address, infer)} == {"1"}
    pair.replaced(lambda: os.kill(pair.pids()[1], signal.SIGKILL))
    assert {*each(pair.address, infer)} == {"1"}


def test_no_call_fails_when_a_worker_is_killed_and_no_counter_falls(pair: Workers) -> None:
    before = pair.metrics.total("resprobe_requests_total")
    assert before > 0
    with resprobe.Client(pair.address) as client:

        def ask() -> str:
            return client.classify(IMAGE, model="digits", timeout=60).version

        def kill() -> None:
            assert while_asking(ask, lambda: os.kill(pair.pids()[0], signal.SIGKILL))

        pair.replaced(kill)
    assert pair.metrics.total("resprobe_requests_total") >= before
    assert pair.metrics.value("resprobe_worker_restarts_total") >= 1


def test_a_worker_that_is_told_to_end_answers_what_it_accepted_and_is_replaced(pair: Workers) -> None:
    before = pair.metrics.total("resprobe_requests_total", method=INFER)
    each(pair.address, infer)
    pair.replaced(lambda: os.kill(pair.pids()[1], signal.SIGTERM))
    assert pair.metrics.total("resprobe_requests_total", method=INFER) == before + 16  # it left its counters


def test_all_end_together(repository: Path) -> None:
    with workers(repository) as found:
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(60) == 0
        until(lambda: found.count("stopped") == 1)
        assert (found.count("worker stopped"), found.events[-1]["event"]) == (2, "stopped")


def test_workers_do_not_outlive_their_supervisor(repository: Path) -> None:
    with workers(repository) as found:
        found.process.kill()
        until(lambda: found.count("worker stopped") == 2)
        for pid in found.pids():
            until(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]
