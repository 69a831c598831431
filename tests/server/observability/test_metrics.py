"""Metrics, read over HTTP as Prometheus reads them: they agree with the requests and answers."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.config import Config
from resprobe_server.models.registry import Models
from resprobe_server.models.sampling.ratios import BOUNDS
from resprobe_server.observability.prometheus import ServerCollector
from resprobe_server.rpc.status_counts import Calls
from resprobe_server.scheduling.worker import Device
from resprobe_server.shadowing.candidates import Candidates

from tests.support.scrape import Scrape
from tests.support.servers import Serve, free_address

IMAGE = pb.Image(pixels=pb.Pixels(height=8, width=8, channels=1, data=bytes(64)))
SERVICE = "resprobe.v1.ResidualService"


@pytest.fixture(scope="module")
def served(start: Serve, repository: Path) -> Iterator[tuple[str, str]]:
    """Addresses of a server and of its metrics; every image is sampled."""
    where = free_address()
    with start(repository, max_batch=4, metrics_address=where, ratio_sample=1.0) as address:
        yield address, where


def test_requests_are_counted_by_method_and_status(served: tuple[str, str]) -> None:
    address, where = served
    good, bad = pb.ClassifyRequest(model="digits", images=[IMAGE]), pb.ClassifyRequest(model="vgg", images=[IMAGE])
    wrong = pb.ClassifyRequest(model="digits", images=[IMAGE], top_k=0)
    with grpc.insecure_channel(address) as channel:
        stub = ResidualServiceStub(channel)
        before = Scrape(where)
        stub.Classify(good)
        for request in (bad, bad):
            with pytest.raises(grpc.RpcError):
                stub.Classify(request)
        list(stub.ClassifyStream(iter([good, good, wrong])))
        stub.ListModels(pb.ListModelsRequest())
        after = Scrape(where)
    grown = {
        (method, code): after.total("resprobe_requests_total", method=f"{SERVICE}/{method}", code=code)
        - before.total("resprobe_requests_total", method=f"{SERVICE}/{method}", code=code)
        for method in ("Classify", "ClassifyStream", "ListModels", "GetModel")
        for code in ("OK", "NOT_FOUND", "INVALID_ARGUMENT")
    }
    assert {key: count for key, count in grown.items() if count} == {
        ("Classify", "OK"): 1,
        ("Classify", "NOT_FOUND"): 2,
        ("ClassifyStream", "OK"): 2,
        ("ClassifyStream", "INVALID_ARGUMENT"): 1,
        ("ListModels", "OK"): 1,
    }


def test_the_time_of_answered_requests_is_told_by_method_and_model(served: tuple[str, str]) -> None:
    address, where = served
    labels = {"method": f"{SERVICE}/Classify", "model": "plain"}
    stream = {"method": f"{SERVICE}/ClassifyStream", "model": "plain"}
    plain, wrong = pb.ClassifyRequest(model="plain", images=[IMAGE]), pb.ClassifyRequest(model="plain")
    begin = time.monotonic()
    with grpc.insecure_channel(address) as channel:
        stub = ResidualServiceStub(channel)
        stub.Classify(plain)
        with pytest.raises(grpc.RpcError):
            stub.Classify(wrong)  # is not answered
        list(stub.ClassifyStream(iter([plain, wrong, plain])))
        stub.GetModel(pb.GetModelRequest(name="plain"))
    passed, scrape = time.monotonic() - begin, Scrape(where)
    assert scrape.value("resprobe_request_seconds_count", **labels) == 1
    assert scrape.value("resprobe_request_seconds_count", **stream) == 2
    assert 0 < scrape.value("resprobe_request_seconds_sum", **labels) < passed
    assert scrape.value("resprobe_request_seconds_bucket", **labels, le="+Inf") == 1
    assert scrape.total("resprobe_request_seconds_count", method=f"{SERVICE}/GetModel", model="") >= 1
    assert scrape.total("resprobe_request_seconds_count", method=f"{SERVICE}/Classify") == scrape.value(
        "resprobe_requests_total", method=f"{SERVICE}/Classify", code="OK"
    )


def test_calls_that_never_reach_a_method_are_counted_too(start: Serve, repository: Path, tmp_path: Path) -> None:
    tokens, where = tmp_path / "tokens.toml", free_address()
    tokens.write_text(f'[one]\nsha256 = "{"0" * 64}"\nrights = ["classify"]\n')
    with (
        start(repository, tokens=tokens, metrics_address=where) as address,
        grpc.insecure_channel(address) as channel,
        pytest.raises(grpc.RpcError, match="wants a token"),
    ):
        try:
            ResidualServiceStub(channel).Classify(pb.ClassifyRequest())
        finally:
            labels = {"method": f"{SERVICE}/Classify", "code": "UNAUTHENTICATED"}
            assert Scrape(where).value("resprobe_requests_total", **labels) == 1


def test_loads_are_counted_the_failed_ones_too(start: Serve, repository: Path, tmp_path: Path) -> None:
    where = free_address()
    shutil.copytree(repository / "plain", tmp_path / "plain")
    (tmp_path / "plain" / "2").mkdir()
    (tmp_path / "plain" / "2" / "model.onnx").write_bytes(b"no graph")
    with start(tmp_path, metrics_address=where):
        scrape = Scrape(where)
    for outcome in ("loaded", "failed"):
        assert scrape.value("resprobe_loads_total", model="plain", outcome=outcome) == 1


def test_what_a_graph_did(served: tuple[str, str]) -> None:
    address, where = served
    graph = {"model": "colour", "version": "1", "graph": "lean"}
    with resprobe.Client(address) as client:
        client.classify(np.zeros((6, 12, 12, 3), np.uint8), model="colour")  # runs as 4 and 2
        client.classify(np.zeros((12, 12, 3), np.uint8), model="colour")
    scrape = Scrape(where)
    assert scrape.value("resprobe_images_total", **graph) == 7
    assert scrape.value("resprobe_pending_images", **graph) == 0
    assert scrape.value("resprobe_graph_requests_total", **graph, outcome="served") == 2
    assert scrape.total("resprobe_graph_requests_total", **graph) == 2
    assert scrape.value("resprobe_queue_seconds_count", **graph) == 2
    assert scrape.value("resprobe_inference_seconds_count", **graph) == 3
    assert scrape.value("resprobe_inference_seconds_bucket", **graph, le="+Inf") == 3
    assert scrape.value("resprobe_inference_seconds_sum", **graph) > 0
    sizes = [scrape.value("resprobe_batch_size_bucket", **graph, le=le) for le in ("1.0", "2.0", "4.0", "+Inf")]
    assert sizes == [1, 2, 3, 3]
    assert scrape.value("resprobe_batch_size_sum", **graph) == 7


def test_every_version_is_told_with_its_provider(served: tuple[str, str]) -> None:
    scrape = Scrape(served[1])
    cpu = "CPUExecutionProvider"
    assert scrape.total("resprobe_model_info") == 4
    known = {"model": "digits", "provider": cpu, "precision": "float32"}
    assert scrape.value("resprobe_model_info", **known, version="1", default="false") == 1
    assert scrape.value("resprobe_model_info", **known, version="2", default="true") == 1
    assert scrape.value("process_resident_memory_bytes") > 1e6


def test_ratios_of_analysed_images_are_those_that_the_client_sees(
    served: tuple[str, str], test_images: npt.NDArray[np.uint8]
) -> None:
    address, where = served
    labels = {"model": "digits", "version": "1"}
    with resprobe.Client(address) as client:
        blocks = client.classify(test_images[:10], model="digits", version="1", blocks=True).blocks
    assert blocks is not None
    scrape = Scrape(where)
    for block, ratio in zip(blocks.names, blocks.ratio.T, strict=True):
        assert scrape.value("resprobe_block_ratio_count", **labels, block=block) == 10
        assert scrape.value("resprobe_block_ratio_sum", **labels, block=block) == pytest.approx(ratio.sum(), rel=1e-3)
        for bound in BOUNDS:
            found = scrape.value("resprobe_block_ratio_bucket", **labels, block=block, le=str(bound))
            assert found == (ratio <= bound).sum()


def test_drift_is_told_once_there_are_enough_images(
    start: Serve, repository: Path, test_images: npt.NDArray[np.uint8]
) -> None:
    where, labels = free_address(), {"model": "digits", "version": "2"}
    with (
        start(repository, metrics_address=where, ratio_sample=1.0) as address,
        resprobe.Client(address) as client,
    ):
        assert Scrape(where).total("resprobe_drift_alarm") == 0  # none is told
        for _ in range(2):
            client.classify(test_images, model="digits", blocks=True)
        quiet = Scrape(where)
        client.classify(np.repeat(255 - test_images, 2, axis=0), model="digits", blocks=True)
        loud = Scrape(where)
    assert quiet.value("resprobe_drift_alarm", **labels) == 0  # these are the images of the baseline
    assert loud.value("resprobe_drift_alarm", **labels) == 1
    limit = loud.value("resprobe_drift_limit", **labels)
    assert quiet.value("resprobe_drift", **labels, block="stage1.block0") < limit
    assert loud.total("resprobe_drift", **labels) > limit


def test_classified_images_are_sampled_when_the_device_is_idle(served: tuple[str, str]) -> None:
    address, where = served

    def sampled() -> float:
        return Scrape(where).value("resprobe_block_ratio_count", model="digits", version="2", block="stage1.block0")

    before = sampled()
    with resprobe.Client(address) as client:
        client.classify(np.zeros((3, 8, 8, 1), np.uint8), model="digits")
        end = time.monotonic() + 10
        while sampled() == before:
            assert time.monotonic() < end
    assert sampled() == before + 1  # one of the three


def test_nothing_is_sampled_where_that_is_off(start: Serve, repository: Path) -> None:
    where = free_address()
    with start(repository, metrics_address=where, ratio_sample=0.0) as address, resprobe.Client(address) as client:
        client.classify(np.zeros((8, 8, 1), np.uint8), model="digits", blocks=True)
        assert Scrape(where).total("resprobe_block_ratio_count") == 0
        assert Scrape(where).total("resprobe_prediction_depth_count") == 0


def test_the_log_tells_the_port(repository: Path) -> None:
    command = [sys.executable, "-m", "resprobe_server", str(repository)]
    options = ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        events = (json.loads(line) for line in process.stderr)
        port = next(event["port"] for event in events if event["event"] == "metrics")
        next(event for event in events if event["event"] == "started")
        assert Scrape(f"127.0.0.1:{port}").total("resprobe_model_info") == 4
        process.terminate()
        assert process.wait(30) == 0


def test_while_models_are_loaded_there_are_metrics_already() -> None:
    async def show(_name: str, _serving: bool) -> None:
        pytest.fail("nothing was loaded")

    models = Models(Config(), Device(), show)
    assert "resprobe_model_info" in {
        metric.name
        for metric in ServerCollector(models, Calls(), Candidates(models.table, lambda _job, _time: None, [])).collect()
    }
