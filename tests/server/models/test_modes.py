"""Explicit mode, mode once, and the time before the models are loaded."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
import resprobe
from resprobe_protos import open_inference_pb2, open_inference_pb2_grpc
from resprobe_server.config import Config
from resprobe_server.errors import LoadFailed, NotFound, NotReady, NotSupported, StartError
from resprobe_server.images.pool import Decoders
from resprobe_server.models.registry import Models
from resprobe_server.models.states import State
from resprobe_server.rpc.server import Server
from resprobe_server.scheduling.worker import Device
from resprobe_server.services.open_inference.service import OpenInferenceService
from resprobe_server.tracer import NullTracer

from tests.support.model_table import Health, table
from tests.support.repositories import IMAGES, add, no_graph, states
from tests.support.servers import Serve


def test_explicit_mode_serves_what_it_is_told_to(root: Path) -> None:
    async def drive() -> None:
        add(root, 2)
        async with table(root, mode="explicit") as (models, health):
            assert models.table.all() == []
            assert [(one.state, one.reason) for one in models.index()] == [(State.UNAVAILABLE, "not loaded")] * 2
            loading = asyncio.create_task(models.load_model("digits"))
            async with asyncio.timeout(60):
                while not loading.done():
                    assert set(states(models).values()) <= {"READY", "LOADING", "UNAVAILABLE"}
                    await asyncio.sleep(0)
            assert states(models) == {1: "READY", 2: "READY"}
            assert health.serving == {"digits": True}
            await models.load_model("digits")
            assert models.counts.loaded == {"digits": 2}
            await models.unload_model("digits")
            assert (models.table.names(), health.serving) == ([], {"digits": False})
            with pytest.raises(NotFound, match="no model 'digits' is loaded; there are: none"):
                await models.unload_model("digits")
            with pytest.raises(NotFound, match="the repository has no model 'vgg'; there are: digits"):
                await models.load_model("vgg")

    asyncio.run(drive())


def test_a_load_that_fails_says_why_and_is_tried_again_when_asked(root: Path) -> None:
    async def drive() -> None:
        no_graph(add(root, 2), root)
        async with table(root, mode="explicit", load=("digits",)) as (models, _):
            for attempt in (2, 3):
                with pytest.raises(LoadFailed, match=r"model digits could not be loaded, version 2: .*model\.onnx"):
                    await models.load_model("digits")
                assert models.counts.failed == {"digits": attempt}
            assert states(models) == {1: "READY", 2: "UNAVAILABLE"}

    asyncio.run(drive())


def test_a_server_that_follows_its_repository_takes_no_orders(root: Path) -> None:
    async def drive() -> None:
        async with table(root) as (models, _):
            for order in (models.load_model, models.unload_model):
                with pytest.raises(NotSupported, match="with --mode explicit only; this is watch"):
                    await order("digits")

    asyncio.run(drive())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"load": ("digits",)}, "--load needs --mode explicit; --mode watch loads all models"),
        ({"mode": "explicit", "load": ("vgg",)}, "has no such model; there are: digits"),
    ],
    ids=["watch", "unknown"],
)
def test_a_load_that_makes_no_sense_is_an_error(root: Path, options: dict[str, Any], message: str) -> None:
    async def drive() -> None:
        async with table(root, **options):
            pass

    with pytest.raises(StartError, match=message):
        asyncio.run(drive())


def test_a_star_loads_everything_and_mode_once_looks_no_more(root: Path, start: Serve) -> None:
    with start(root, mode="explicit", load=("*",)) as address, resprobe.Client(address) as client:
        assert [model.name for model in client.models()] == ["digits"]
    with start(root, mode="once", poll=0.01) as address, resprobe.Client(address) as client:
        add(root, 2)
        for _ in range(20):
            assert client.classify(IMAGES).version == "1"


def test_before_the_start_requests_are_told_to_come_back(root: Path) -> None:
    models = Models(Config(root), Device(), Health().show)
    with pytest.raises(NotReady, match="still being loaded"):
        models.table.get("digits", "")

    async def ask() -> None:
        with ThreadPoolExecutor(1) as threads, closing(Decoders(threads, Config(root))) as decoders:
            server = Server()
            service = OpenInferenceService(models, decoders, Config(root), NullTracer())
            server.add(open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server, service)
            address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            await server.start()
            async with grpc.aio.insecure_channel(address) as channel:
                stub: Any = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
                assert (await stub.ServerLive(open_inference_pb2.ServerLiveRequest())).live
                assert not (await stub.ServerReady(open_inference_pb2.ServerReadyRequest())).ready
                with pytest.raises(grpc.aio.AioRpcError, match="still being loaded") as caught:
                    await stub.ModelInfer(open_inference_pb2.ModelInferRequest(model_name="digits"))
                assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            await server.stop(0)

    asyncio.run(ask())


def test_a_load_with_parameters_is_refused(root: Path, start: Serve) -> None:
    with start(root, mode="explicit") as address, grpc.insecure_channel(address) as channel:
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = open_inference_pb2.RepositoryModelLoadRequest(model_name="digits")
        request.parameters["config"].string_param = "{}"
        with pytest.raises(grpc.RpcError, match="parameters config: models load as they are in the repository"):
            stub.RepositoryModelLoad(request)
        request.parameters.clear()
        stub.RepositoryModelLoad(request)
