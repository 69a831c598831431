"""How the server follows its repository: what is swapped in, what is kept, and that no request notices."""

import asyncio
import gc
import json
import os
import shutil
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
import torch
from grpc_health.v1 import health_pb2, health_pb2_grpc
from resprobe_protos import open_inference_pb2, open_inference_pb2_grpc
from resprobe_server.config import Config
from resprobe_server.errors import LoadFailed, NotFound, NotReady, NotSupported, StartError
from resprobe_server.images.pool import Decoders
from resprobe_server.models.registry import Models
from resprobe_server.models.states import State
from resprobe_server.models.watcher import changes
from resprobe_server.rpc.server import Server
from resprobe_server.scheduling.request import Outcome
from resprobe_server.scheduling.worker import Device
from resprobe_server.services.open_inference.service import OpenInferenceService
from resprobe_server.tracer import NullTracer

from tests.support.model_table import Health, table
from tests.support.nets import publish_net, small_net
from tests.support.servers import Serve

IMAGES = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8, 1)


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """A repository with version 1 of `digits`."""
    shutil.copytree(repository / "digits" / "1", tmp_path / "digits" / "1")
    return tmp_path


def add(root: Path, number: int, model: str = "digits") -> Path:
    """Adds a version as the exporter does: under a hidden name first."""
    draft, target = root / model / f".draft-{number}", root / model / str(number)
    shutil.copytree(root / "digits" / "1", draft)
    return draft.rename(target)


def states(models: Models) -> dict[int, str]:
    return {one.version: str(one.state) for one in models.index()}


@pytest.mark.long
def test_no_request_fails_during_a_hundred_swaps(start: Serve, root: Path) -> None:
    done = False

    def ask(client: resprobe.Client, blocks: bool) -> set[str]:
        expected, seen = client.classify(IMAGES, model="digits", blocks=blocks), set()
        while not done:
            result = client.classify(IMAGES, model="digits", blocks=blocks)
            np.testing.assert_allclose(result.probabilities, expected.probabilities, atol=1e-5)
            seen.add(result.version)
        return seen

    def swap(client: resprobe.Client) -> None:
        for number in range(2, 102):
            add(root, number)
            while client.model("digits").version != str(number):
                pass
            if number > 3:
                shutil.rmtree(root / "digits" / str(number - 2))

    with start(root, max_batch=4, threads=1) as address, resprobe.Client(address) as client:
        with ThreadPoolExecutor(4) as threads:
            answers = [threads.submit(ask, client, blocks) for blocks in (False, True, False, True)]
            try:
                swap(client)
            finally:
                done = True
        seen = set.union(*(answer.result() for answer in answers))
    assert len(seen) > 50  # the load went on while versions came and went


def test_a_server_serves_what_appears_and_not_what_is_gone(start: Serve, root: Path) -> None:
    def status(service: str) -> int:
        found: Any = health.Check(health_pb2.HealthCheckRequest(service=service))
        return int(found.status)

    with start(root) as address, resprobe.Client(address) as client, grpc.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        (root / "second").mkdir()
        add(root, 7, "second")
        while len(client.models()) < 2:
            pass
        assert client.classify(IMAGES, model="second").version == "7"
        assert status("second") == health_pb2.HealthCheckResponse.SERVING
        shutil.rmtree(root / "second")
        while len(client.models()) > 1:
            pass
        with pytest.raises(resprobe.ModelNotFound, match="no model 'second'; there are: digits"):
            client.classify(IMAGES, model="second")
        assert status("second") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert status("digits") == health_pb2.HealthCheckResponse.SERVING


def net_of_other_biases(root: Path) -> Path:
    net = small_net()
    publish_net(net, root, "one")
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, 0, 2)
    return publish_net(net, root, "two")


def without_digests(version: Path) -> None:
    """What they find is tested in test_digests.py."""
    model = json.loads((version / "model.json").read_text())
    del model["provenance"]["graphSha256"], model["provenance"]["weightsSha256"]
    (version / "model.json").write_text(json.dumps(model))


def no_graph(version: Path, _: Path) -> None:
    (version / "model.onnx").write_bytes(b"this is no graph")


def not_finite(version: Path, _: Path) -> None:
    size = (version / "weights.bin").stat().st_size
    (version / "weights.bin").write_bytes(b"\xff" * size)


def short(version: Path, _: Path) -> None:
    weights = (version / "weights.bin").read_bytes()
    (version / "weights.bin").write_bytes(weights[: len(weights) // 2])


def other_classes(version: Path, _: Path) -> None:
    model = json.loads((version / "model.json").read_text())
    model["classes"].pop()
    (version / "model.json").write_text(json.dumps(model))


def other_blocks(version: Path, _: Path) -> None:
    model = json.loads((version / "model.json").read_text())
    model["blocks"].pop()
    (version / "model.json").write_text(json.dumps(model))


def other_net(version: Path, scratch: Path) -> None:
    two = net_of_other_biases(scratch)
    shutil.copytree(scratch / "one" / "1", version, dirs_exist_ok=True)
    shutil.copy(two / "probe.onnx", version)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (no_graph, "model.onnx failed"),
        (not_finite, "model.onnx returns logits that are not finite"),
        (short, "are out of bounds or can not be read in full"),
        (other_classes, "model.onnx returns logits [4, 10]; its description says [4, 9]"),
        (other_blocks, "lesion.onnx takes block_scale [n, 3]; model.json names 2 blocks"),
        (other_net, "probe.onnx is not of the same net as model.onnx: on the same noise their logits"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_content_that_is_not_fit_leaves_the_old_serving(
    root: Path, tmp_path_factory: pytest.TempPathFactory, damage: Callable[[Path, Path], None], reason: str
) -> None:
    async def drive() -> None:
        async with table(root) as (models, health):
            old = models.table.get("digits", "")
            damage(root / "digits" / "1", tmp_path_factory.mktemp("scratch"))
            without_digests(root / "digits" / "1")
            await models.refresh()
            assert models.table.get("digits", "") is old
            (status,) = models.index()
            assert status.state is State.READY
            assert reason in status.reason
            assert models.counts.failed == {"digits": 1}
            assert health.serving == {"digits": True}
            await models.refresh()  # the same content is not tried again
            assert models.counts.failed == {"digits": 1}

    asyncio.run(drive())


def test_a_version_is_loaded_again_when_its_content_changes_and_only_then(root: Path, repository: Path) -> None:
    async def drive() -> None:
        async with table(root) as (models, _):
            await models.refresh()
            assert models.counts.loaded == {"digits": 1}
            path = root / "digits" / "1" / "model.json"
            path.write_text(path.read_text().replace('"trained here"', '"rewritten"'))
            await models.refresh()
            assert models.table.get("digits", "1").description.provenance.source == "rewritten"
            shutil.rmtree(root / "digits" / "1")
            shutil.copytree(repository / "digits" / "1", root / "digits" / "1")
            await models.refresh()
            assert models.table.get("digits", "1").description.provenance.source == "trained here"
            assert models.counts.loaded == {"digits": 3}

    asyncio.run(drive())


def test_hidden_directories_and_files_are_not_looked_at(root: Path) -> None:
    async def drive() -> None:
        async with table(root) as (models, _):
            shutil.copytree(root / "digits" / "1", root / "digits" / ".draft-2")
            (root / "digits" / "1" / ".weights.bin.part").write_bytes(b"half a copy")
            await models.refresh()
            assert models.counts.loaded == {"digits": 1}
            assert states(models) == {1: "READY"}

    asyncio.run(drive())


def test_the_default_is_the_highest_version_that_serves(root: Path) -> None:
    async def drive() -> None:
        async with table(root) as (models, _):
            no_graph(add(root, 3), root)
            add(root, 2)
            await models.refresh()
            assert models.table.get("", "").number == 2
            assert [version.description.serving.is_default for version in models.table.all()] == [False, True]
            assert states(models) == {1: "READY", 2: "READY", 3: "UNAVAILABLE"}
            shutil.rmtree(root / "digits" / "2")
            await models.refresh()
            assert models.table.get("", "").description.serving.is_default

    asyncio.run(drive())


def test_what_is_removed_answers_what_it_accepted_and_is_freed(root: Path) -> None:
    async def drive() -> list[Outcome]:
        async with table(root) as (models, health):
            batcher = models.table.get("digits", "").lean
            freed = asyncio.Event()
            weakref.finalize(batcher, asyncio.get_running_loop().call_soon_threadsafe, freed.set)
            futures = [batcher.submit({"image": IMAGES}) for _ in range(50)]
            shutil.rmtree(root / "digits")
            await models.refresh()
            assert health.serving == {"digits": False}
            with pytest.raises(NotFound, match="no model 'digits'; there are: none"):
                models.table.get("digits", "")
            outcomes = await asyncio.gather(*futures)
            del batcher
            gc.collect()
            await asyncio.wait_for(freed.wait(), 30)
            return outcomes

    assert [len(outcome.output("logits")) for outcome in asyncio.run(drive())] == [3] * 50


def test_a_repository_that_cannot_be_read_leaves_everything_serving(root: Path) -> None:
    async def drive() -> None:
        async with table(root) as (models, _):
            shutil.move(root, root.with_name("away"))
            with pytest.raises(FileNotFoundError):
                await models.refresh()
            assert models.table.names() == ["digits"]

    asyncio.run(drive())


def test_explicit_mode_serves_what_it_is_told_to(root: Path) -> None:
    async def drive() -> None:
        add(root, 2)
        async with table(root, mode="explicit") as (models, health):
            assert models.table.all() == []
            assert [(one.state, one.reason) for one in models.index()] == [(State.UNAVAILABLE, "not loaded")] * 2
            loading = asyncio.create_task(models.load_model("digits"))
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


async def until_changed(root: Path, poll: float, touch: Callable[[], object]) -> None:
    """Changes things until that is noticed."""
    watcher = changes(root, poll)
    noticed = asyncio.ensure_future(anext(watcher))
    while not noticed.done():
        touch()
        await asyncio.sleep(0)
    await noticed
    await watcher.aclose()  # type: ignore[attr-defined]


def test_the_system_notifies_of_changes(root: Path) -> None:
    asyncio.run(asyncio.wait_for(until_changed(root, 3600, lambda: os.utime(root / "digits" / "1" / "model.json")), 30))


def test_hidden_changes_are_not_noticed_but_by_looking(root: Path) -> None:
    async def drive() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(until_changed(root, 3600, (root / ".draft-1").touch), 0.5)
        await asyncio.wait_for(until_changed(root, 0.05, lambda: None), 30)

    asyncio.run(drive())


def test_where_nothing_can_be_watched_it_is_looked_at(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(until_changed(tmp_path / "not there", 0.01, lambda: None), 30))


def test_every_graph_runs_before_anybody_is_served(repository: Path) -> None:
    async def drive() -> None:
        async with table(repository) as (models, _):
            times = models.table.get("digits", "").times
            assert list(times) == ["model.onnx", "probe.onnx", "lesion.onnx", "lesion_probe.onnx"]
            assert all(list(one.runs) == [1, 4] for one in times.values())

    asyncio.run(drive())
