"""Requests for models that are not in memory, over both protocols, and what is said of such models."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from grpc_health.v1 import health_pb2, health_pb2_grpc
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import rollout_pb2
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_protos.rollout_pb2_grpc import RolloutServiceStub

from tests.support.calls import png, raw
from tests.support.open_inference import raw_request
from tests.support.scrape import Scrape
from tests.support.servers import Serve, free_address

Images = npt.NDArray[np.uint8]
NAMES = "one", "two"


@pytest.fixture(scope="module")
def models(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of the same net, each in two versions."""
    root = tmp_path_factory.mktemp("two")
    for name in NAMES:
        shutil.copytree(repository / "digits", root / name)
    return root


@pytest.fixture(params=["off", "otlp"])
def address(start: Serve, models: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a server with room for one of them, with and without traces."""
    with start(models, max_models=1, max_batch=4, traces=request.param) as where:
        yield where


def state(stub: GRPCInferenceServiceStub) -> dict[str, str]:
    return {one.name: one.state for one in stub.RepositoryIndex(oip.RepositoryIndexRequest()).models}


def test_requests_by_turns_are_all_answered(address: str, test_images: Images) -> None:
    with grpc.insecure_channel(address) as channel:
        typed, open_ = ResidualServiceStub(channel), GRPCInferenceServiceStub(channel)
        images = [*raw(test_images[:2]), png(test_images[2])]
        asked = {name: pb.ClassifyRequest(model=name, id=name, images=images, view=pb.VIEW_BLOCKS) for name in NAMES}
        first = typed.Classify(asked["one"])
        other = typed.Classify(asked["two"])
        assert (first.model, other.model, other.id) == ("one", "two", "two")
        assert [one.classes for one in first.results] == [one.classes for one in other.results]
        answers = list(typed.ClassifyStream(asked[name] for name in NAMES * 2))
        assert sorted(one.model for one in answers) == sorted(NAMES * 2)
        assert all(one.results == first.results for one in answers)
        scores = {}
        for name in NAMES:
            request = raw_request(test_images[:2], model_name=name)
            scores[name] = [open_.ModelInfer(request).raw_output_contents[0] for _ in range(2)]
            lesion = raw_request(test_images[:2], model_name=f"{NAMES[name == 'one']}.lesion")  # of the absent one
            with pytest.raises(grpc.RpcError, match="block_scale"):
                open_.ModelInfer(lesion)
        assert scores["one"] == scores["two"]


def test_requests_at_once_are_all_answered(address: str, test_images: Images) -> None:
    with resprobe.Client(address) as client, ThreadPoolExecutor(6) as threads:
        expected = client.classify(test_images[:2], model="one").labels

        def ask(name: str) -> tuple[str, list[str]]:
            found = client.classify(test_images[:2], model=name, timeout=60)
            return found.model, list(found.labels)

        answers = list(threads.map(ask, NAMES * 6))
    assert answers == [(name, list(expected)) for name in NAMES * 6]


def test_what_is_said_of_a_model_that_is_not_in_memory(start: Serve, models: Path, test_images: Images) -> None:
    metrics = free_address()
    with (
        start(models, max_models=1, metrics_address=metrics) as where,
        grpc.insecure_channel(where) as channel,
        resprobe.Client(where) as client,
    ):
        stub: Any = GRPCInferenceServiceStub(channel)
        health: Any = health_pb2_grpc.HealthStub(channel)
        client.classify(test_images[:1], model="one")
        assert state(stub) == {"one": "READY", "two": "UNAVAILABLE"}
        assert [model.name for model in client.models()] == ["one", "one", "two", "two"]
        assert client.model("two").version == "2"
        for name in ("two", "two.lesion"):
            assert stub.ModelReady(oip.ModelReadyRequest(name=name)).ready
            assert stub.ModelMetadata(oip.ModelMetadataRequest(name=name)).versions == ["1", "2"]
            assert stub.ModelConfig(oip.ModelConfigRequest(name=name)).config.name == name
        assert not stub.ModelStatistics(oip.ModelStatisticsRequest(name="two")).model_stats
        checked = health.Check(health_pb2.HealthCheckRequest(service="two"))
        assert checked.status == health_pb2.HealthCheckResponse.SERVING
        assert state(stub) == {"one": "READY", "two": "UNAVAILABLE"}  # no question has loaded it
        scrape = Scrape(metrics)
        assert (scrape.value("resprobe_model_in_memory", model="one"), scrape.total("resprobe_model_in_memory")) == (
            1,
            1,
        )
        assert scrape.value("resprobe_model_bytes", model="two") > 0
        assert scrape.total("resprobe_evictions_total") >= 1
        assert scrape.value("resprobe_load_seconds_total", model="one") > 0


def test_a_candidate_brings_its_model_into_memory_and_keeps_it(start: Serve, models: Path, test_images: Images) -> None:
    with start(models, max_models=1) as where, grpc.insecure_channel(where) as channel:
        typed, rollout = ResidualServiceStub(channel), RolloutServiceStub(channel)
        typed.Classify(pb.ClassifyRequest(model="two", images=raw(test_images[:1])))
        shadow = rollout.SetShadow(rollout_pb2.SetShadowRequest(model="one", version="2", share=1.0)).shadow
        assert (shadow.reason, shadow.current_version) == ("", "1")
        with pytest.raises(grpc.RpcError, match="there is no room for model two") as caught:
            typed.Classify(pb.ClassifyRequest(model="two", images=raw(test_images[:1])))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        rollout.PromoteModel(rollout_pb2.PromoteModelRequest(model="one"))
        assert typed.Classify(pb.ClassifyRequest(model="two", images=raw(test_images[:1]))).version == "2"
        assert typed.Classify(pb.ClassifyRequest(model="one", images=raw(test_images[:1]))).version == "2"


def test_a_model_that_is_too_large_is_refused_in_words(start: Serve, models: Path, test_images: Images) -> None:
    with start(models, max_memory="100KiB") as where, grpc.insecure_channel(where) as channel:
        with pytest.raises(grpc.RpcError, match="--max-memory is too small") as caught:
            ResidualServiceStub(channel).Classify(pb.ClassifyRequest(model="two", images=raw(test_images[:1])))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        stub: Any = GRPCInferenceServiceStub(channel)
        assert not stub.ModelReady(oip.ModelReadyRequest(name="two")).ready
