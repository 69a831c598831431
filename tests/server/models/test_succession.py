"""A version of another kind does not replace one that serves, unless the operator allows it."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import resprobe
from prometheus_client import CollectorRegistry
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server.config import Config
from resprobe_server.errors import LoadFailed
from resprobe_server.models.registry import Models
from resprobe_server.observability.prometheus import ServerCollector
from resprobe_server.rpc.status_counts import Calls
from resprobe_server.self_test import self_test
from resprobe_server.shadowing.candidates import Candidates

from tests.support.model_table import table
from tests.support.served_graphs import INT64, REAL, node, write
from tests.support.servers import Serve

IMAGES = "version 1, which serves, takes images of 8×8×1, and this one images of 12×12×3 and calls its classes"


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """A repository with version 1 of `digits`."""
    shutil.copytree(repository / "digits" / "1", tmp_path / "digits" / "1")
    return tmp_path


def colour(root: Path, repository: Path) -> None:
    shutil.copytree(repository / "colour" / "1", root / "digits" / "2")


def renamed(root: Path, repository: Path) -> None:
    """The same net with other labels."""
    directory = shutil.copytree(repository / "digits" / "1", root / "digits" / "2")
    path = directory / "model.json"
    model = json.loads(path.read_text())
    model["classes"][3:5] = model["classes"][4], model["classes"][3]
    path.write_text(json.dumps(model))


def reasons(models: Models) -> dict[int, tuple[str, str]]:
    return {one.version: (str(one.state), one.reason) for one in models.index()}


@pytest.mark.parametrize(
    ("add", "expected"), [(colour, IMAGES), (renamed, "version 1, which serves, calls its classes '3', '4', '5' from")]
)
@pytest.mark.parametrize("at_start", [False, True])
def test_another_kind_of_net_is_refused(
    root: Path, repository: Path, add: Callable[[Path, Path], None], expected: str, at_start: bool
) -> None:
    async def drive() -> None:
        if at_start:
            add(root, repository)
        async with table(root) as (models, _):
            if not at_start:
                add(root, repository)
                await models.refresh()
            assert models.table.get("digits", "").number == 1
            assert reasons(models)[1] == ("READY", "")
            state, reason = reasons(models)[2]
            assert state == "UNAVAILABLE"
            assert reason.startswith(expected)
            assert reason.endswith("give this one a name of its own, or start the server with --allow-incompatible")
            registry = CollectorRegistry()
            registry.register(ServerCollector(models, Calls(), Candidates(models.table, lambda _job, _time: None, [])))
            labels = {"model": "digits", "outcome": "incompatible"}
            assert registry.get_sample_value("resprobe_loads_total", labels) == 1
            await models.refresh()  # the same content is not tried again
            assert models.counts.incompatible == {"digits": 1}

    asyncio.run(drive())


def test_it_is_served_if_the_operator_says_so(start: Serve, root: Path, repository: Path) -> None:
    colour(root, repository)
    with start(root, allow_incompatible=True) as address, resprobe.Client(address) as client:
        assert client.model("digits").version == "2"


def test_content_of_another_kind_leaves_the_old_serving(root: Path, repository: Path) -> None:
    async def drive() -> None:
        async with table(root) as (models, _):
            old = models.table.get("digits", "")
            shutil.rmtree(root / "digits" / "1")
            shutil.copytree(repository / "colour" / "1", root / "digits" / "1")
            await models.refresh()
            assert models.table.get("digits", "") is old
            assert reasons(models)[1][1].startswith(IMAGES)

    asyncio.run(drive())


def test_it_is_served_once_nothing_else_is(root: Path, repository: Path) -> None:
    """When the versions that it was incompatible with are removed, a version is served, as after a start."""

    async def drive() -> None:
        async with table(root) as (models, health):
            colour(root, repository)
            await models.refresh()
            shutil.rmtree(root / "digits" / "1")
            await models.refresh()
            assert models.table.get("digits", "").number == 2
            assert reasons(models) == {2: ("READY", "")}
            assert health.serving == {"digits": True}

    asyncio.run(drive())


def test_a_load_by_request_is_refused_too(start: Serve, root: Path, repository: Path) -> None:
    colour(root, repository)
    with start(root, mode="explicit") as address, grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        with pytest.raises(
            grpc.RpcError, match=r"could not be loaded, version 2: version 1, which.*--allow-incomp"
        ) as e:
            stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="digits"))
        assert isinstance(e.value, grpc.Call)
        assert e.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        index = stub.RepositoryIndex(pb.RepositoryIndexRequest()).models
        assert [(one.version, one.state) for one in index] == [("1", "READY"), ("2", "UNAVAILABLE")]


def test_the_self_test_finds_it(root: Path, repository: Path) -> None:
    colour(root, repository)
    failures = [row.failure for row in asyncio.run(self_test(Config(root, max_batch=4, threads=1))) if row.failure]
    assert len(failures) == 1
    assert failures[0].startswith(IMAGES)


@pytest.mark.parametrize(
    ("inputs", "output", "expected"),
    [
        ({"x": (REAL, ["n", 3])}, (REAL, ["n", 3]), ""),
        ({"x": (REAL, ["n", "m"])}, (REAL, ["n", "m"]), ""),  # what takes more takes that too
        (
            {"x": (REAL, ["n", 4])},
            (REAL, ["n", 4]),
            "takes x tensor(float) [n, 3], and this one x tensor(float) [n, 4]",
        ),
        ({"x": (INT64, ["n", 3])}, (INT64, ["n", 3]), "and this one x tensor(int64) [n, 3]"),
        ({"x": (REAL, ["n", 3, 1])}, (REAL, ["n", 3, 1]), "and this one x tensor(float) [n, 3, 1]"),
        ({"z": (REAL, ["n", 3])}, (REAL, ["n", 3]), "takes x tensor(float) [n, 3], and this one z tensor(float)"),
    ],
)
def test_models_of_others_are_compared_by_their_tensors(
    tmp_path: Path, inputs: dict[str, Any], output: Any, expected: str
) -> None:
    async def drive() -> str:
        write(tmp_path / "net", [node("Neg", "x", "y")], {"x": (REAL, ["n", 3])}, {"y": (REAL, ["n", 3])})
        write(tmp_path / "net", [node("Neg", next(iter(inputs)), "y")], inputs, {"y": output}, number=2)
        async with table(tmp_path, mode="explicit") as (models, _):
            try:
                await models.load_model("net")
            except LoadFailed as error:
                return str(error)
            return ""

    found = asyncio.run(drive())
    assert expected in found
    assert bool(expected) is bool(found)
