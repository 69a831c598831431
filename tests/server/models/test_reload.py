"""How a server follows its repository: no request notices, and versions that are removed are freed."""

import asyncio
import gc
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
from grpc_health.v1 import health_pb2, health_pb2_grpc
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.errors import NotFound
from resprobe_server.scheduling.request import Outcome

from tests.support.model_table import table
from tests.support.repositories import IMAGES, add, no_graph, states
from tests.support.servers import Serve
from tests.support.waiting import until


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

    def serves(client: resprobe.Client, version: str) -> bool:
        return client.model("digits").version == version

    def swap(client: resprobe.Client) -> None:
        for number in range(2, 102):
            add(root, number)
            until(partial(serves, client, str(number)))
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
        until(lambda: len(client.models()) == 2)
        assert client.classify(IMAGES, model="second").version == "7"
        assert status("second") == health_pb2.HealthCheckResponse.SERVING
        shutil.rmtree(root / "second")
        until(lambda: len(client.models()) == 1)
        with pytest.raises(resprobe.ModelNotFound, match="no model 'second'; there are: digits"):
            client.classify(IMAGES, model="second")
        assert status("second") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert status("digits") == health_pb2.HealthCheckResponse.SERVING


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


def test_a_description_that_changes_under_the_same_number_is_served(start: Serve, root: Path) -> None:
    path = root / "digits" / "1" / "model.json"

    def names(stub: ResidualServiceStub) -> list[str]:
        return [block.name for block in stub.GetModel(pb.GetModelRequest(name="digits", version="1")).blocks]

    with start(root) as address, grpc.insecure_channel(address) as channel:
        stub = ResidualServiceStub(channel)
        before = names(stub)
        path.write_text(path.read_text().replace('"stage', '"renamed'))
        until(lambda: names(stub) != before)
        assert names(stub) == [name.replace("stage", "renamed") for name in before]
        with resprobe.Client(address) as client:
            blocks = client.classify(IMAGES, model="digits", blocks=True).blocks
            assert blocks is not None
            assert list(blocks.names) == names(stub)


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


def test_every_graph_runs_before_the_version_serves(repository: Path) -> None:
    async def drive() -> None:
        async with table(repository) as (models, _):
            times = models.table.get("digits", "").times
            assert list(times) == ["model.onnx", "probe.onnx", "lesion.onnx", "lesion_probe.onnx", "inspect.onnx"]
            assert all(list(one.runs) == [1, 4] for one in times.values())

    asyncio.run(drive())
