"""Candidates on a server that really runs: compared, split, promoted, rolled back, and refused where they cannot be."""

import asyncio
import shutil
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import rollout_pb2
from resprobe_protos.contract import PROBE
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_protos.rollout_pb2_grpc import RolloutServiceStub
from resprobe_server import config_sources
from resprobe_server.scheduling.worker import Device
from resprobe_server.shadowing.candidates import Candidates
from resprobe_server.shadowing.rules import Rule
from resprobe_server.shadowing.shadow import DUTY

from tests.support.calls import raw
from tests.support.model_table import table
from tests.support.nets import publish_net, small_net
from tests.support.servers import Serve, free_address
from tests.support.waiting import until

Ask = Callable[..., str]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of the model net with the same classes and blocks, and other weights; and another model, other."""
    root = tmp_path_factory.mktemp("twins")
    publish_net(small_net(), root, "net")
    net = small_net()
    for parameter in net.parameters():
        parameter.data *= 1.25
    publish_net(net, root, "net")
    publish_net(small_net(channels=3), root, "other")
    return root


class Served:
    """A server with its stubs."""

    def __init__(self, channel: grpc.Channel, images: Any) -> None:
        self.classes, self.rollout = ResidualServiceStub(channel), RolloutServiceStub(channel)
        self._images = images

    def ask(self, identifier: str = "", count: int = 1, version: str = "") -> str:
        """Returns the version that answers."""
        request = pb.ClassifyRequest(model="net", version=version, images=raw(self._images[:count]), id=identifier)
        return self.classes.Classify(request).version

    def shadow(self) -> rollout_pb2.Shadow:
        return self.rollout.GetShadow(rollout_pb2.GetShadowRequest(model="net")).shadow

    def set(self, version: str, share: float = 0.0, split: float = 0.0) -> rollout_pb2.Shadow:
        request = rollout_pb2.SetShadowRequest(model="net", version=version, share=share, split=split)
        return self.rollout.SetShadow(request).shadow

    def promote(self) -> tuple[str, str]:
        moved = self.rollout.PromoteModel(rollout_pb2.PromoteModelRequest(model="net"))
        return moved.version, moved.previous_version

    def rollback(self) -> tuple[str, str]:
        moved = self.rollout.RollbackModel(rollout_pb2.RollbackModelRequest(model="net"))
        return moved.version, moved.previous_version

    def default(self) -> list[str]:
        models = self.classes.ListModels(pb.ListModelsRequest()).models
        return [one.version for one in models if one.name == "net" and one.serving.is_default]


@pytest.fixture
def serving(start: Serve, twins: Path, test_images: Any) -> Iterator[Callable[..., Any]]:
    """A function that starts a server of the twins with options."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def run(root: Path = twins, **options: object) -> Served:
            address = stack.enter_context(start(root, **options))
            return Served(stack.enter_context(grpc.insecure_channel(address)), test_images)

        yield run


def failing(code: grpc.StatusCode, reason: str) -> Any:
    return pytest.raises(grpc.RpcError, match=f"(?s){code.name}.*{reason}")


def test_a_candidate_is_compared_and_answers_nobody(serving: Callable[..., Served]) -> None:
    where = free_address()
    served = serving(shadow=("net=2:1",), metrics_address=where)
    assert served.default() == ["1"]
    assert {served.ask(count=8) for _ in range(3)} == {"1"}
    assert served.ask(version="2") == "2"  # whoever names it gets it
    until(lambda: served.shadow().image_count == 24)
    found = served.shadow()
    assert (found.version, found.current_version, found.share, found.reason) == ("2", "1", 1.0, "")
    assert found.agreement_count + sum(change.image_count for change in found.changes) == 24
    assert found.dropped_count == found.failed_count == 0
    assert found.seconds > 0 < found.current_seconds
    assert [block.image_count for block in found.blocks] == [24] * len(found.blocks) and found.blocks
    assert all(block.factor_lower <= block.factor <= block.factor_upper for block in found.blocks)
    assert any(abs(block.factor - 1) > 0.01 for block in found.blocks)
    for block in found.blocks:
        assert block.ratio / block.current_ratio == pytest.approx(block.factor, rel=0.3)
    with urllib.request.urlopen(f"http://{where}/metrics") as answer:
        samples = [one for family in text_string_to_metric_families(answer.read().decode()) for one in family.samples]
    images = {one.labels["outcome"]: one.value for one in samples if one.name == "resprobe_shadow_images_total"}
    assert images == {"agreed": found.agreement_count, "changed": 24 - found.agreement_count, "failed": 0, "dropped": 0}
    factors = {one.labels["block"]: one.value for one in samples if one.name == "resprobe_shadow_block_factor"}
    assert factors == pytest.approx({block.name: block.factor for block in found.blocks})


def test_only_a_share_of_the_images_is_compared(serving: Callable[..., Served]) -> None:
    served = serving(shadow=("net=2:0.25",))
    for _ in range(4):
        served.ask(count=10)
    until(lambda: served.shadow().image_count == 10)
    served.ask(count=3)
    assert served.shadow().image_count == 10


def test_images_beyond_the_queue_are_dropped(serving: Callable[..., Served]) -> None:
    served = serving(shadow=("net=2:1",), max_batch=256)
    served.ask(count=200)
    assert served.shadow().dropped_count == 200 - 64


def test_a_split_answers_the_same_requests_each_time(serving: Callable[..., Served]) -> None:
    served = serving(split=("net=2:0.5",))
    first = [served.ask(str(number)) for number in range(60)]
    assert Counter(first).keys() == {"1", "2"}
    assert [served.ask(str(number)) for number in range(60)] == first
    assert {served.ask() for _ in range(10)} == {"1"}
    assert served.shadow().reason == "its share of the images is 0"


def test_promotion_and_rollback(serving: Callable[..., Served]) -> None:
    served = serving()
    assert (served.ask(), served.default()) == ("2", ["2"])
    with failing(grpc.StatusCode.NOT_FOUND, "model net has no candidate"):
        served.shadow()
    found = served.set("2", share=0.5)  # it was the default, and is not any more
    assert (found.version, found.current_version, found.reason) == ("2", "1", "")
    assert (served.ask(), served.default()) == ("1", ["1"])
    assert served.promote() == ("2", "1")
    assert (served.ask(), served.default()) == ("2", ["2"])
    with failing(grpc.StatusCode.NOT_FOUND, "has no candidate"):
        served.promote()
    assert served.rollback() == ("1", "2")
    assert (served.ask(), served.default()) == ("1", ["1"])
    with failing(grpc.StatusCode.FAILED_PRECONDITION, "no version of net was promoted"):
        served.rollback()


def test_a_candidate_that_is_published_later_is_waited_for(
    serving: Callable[..., Served], twins: Path, tmp_path: Path
) -> None:
    shutil.copytree(twins / "net" / "1", tmp_path / "net" / "1")
    served = serving(tmp_path, poll=0.1)
    assert served.set("2", share=1.0).reason == "version 2 is not loaded"
    shutil.copytree(twins / "net" / "2", tmp_path / "net" / ".new")
    (tmp_path / "net" / ".new").rename(tmp_path / "net" / "2")
    until(lambda: served.shadow().reason == "")
    assert served.ask(count=4) == "1"
    until(lambda: served.shadow().image_count == 4)
    shutil.rmtree(tmp_path / "net" / "2")
    until(lambda: served.shadow().reason == "version 2 is not loaded")
    assert served.ask() == "1"


def test_a_candidate_with_other_classes_is_refused(serving: Callable[..., Served], twins: Path, tmp_path: Path) -> None:
    for number, name in (("1", "net"), ("2", "other")):
        shutil.copytree(twins / name / "1", tmp_path / "net" / number)
    served = serving(tmp_path, allow_incompatible=True)
    with failing(grpc.StatusCode.FAILED_PRECONDITION, "version 2 takes images of another size or colour"):
        served.set("2", share=0.1)
    served = serving(tmp_path, allow_incompatible=True, shadow=("net=2:1",))
    assert served.ask() == "1"
    assert served.shadow().reason == "version 2 takes images of another size or colour"


@pytest.fixture
def renamed(twins: Path, tmp_path: Path) -> Path:
    """A repository of net, whose version 2 calls a class by another name."""
    shutil.copytree(twins / "net", tmp_path / "net")
    path = tmp_path / "net" / "2" / "model.json"
    path.write_text(path.read_text().replace('"class3"', '"cat"'))
    return tmp_path


def test_a_candidate_with_other_labels_is_refused(
    serving: Callable[..., Served], renamed: Path, tmp_path: Path
) -> None:
    """By RPC, by option and by the configuration file, whether or not it may be served beside the other."""
    other = "version 2 has other classes than version 1, which serves; give it a name of its own"
    served = serving(renamed, allow_incompatible=True)
    with failing(grpc.StatusCode.FAILED_PRECONDITION, other):
        served.set("2", share=0.1)
    assert served.ask() == "2"  # nothing has changed
    file = tmp_path / "server.toml"
    file.write_text('shadow = ["net=2:1"]\nallow_incompatible = true\n')
    for options in (
        {"shadow": ("net=2:1",), "allow_incompatible": True},
        config_sources.read(["--config", str(file)], {}),
    ):
        served = serving(renamed, **options)
        assert served.ask(count=4) == "1"
        found = served.shadow()
        assert (found.reason, found.image_count) == (other, 0)
    served = serving(renamed, shadow=("net=2:1",))  # it is not even loaded
    assert served.ask() == "1"
    assert served.shadow().reason == "version 2 is not loaded"


@pytest.mark.parametrize(
    ("version", "share", "code", "reason"),
    [
        ("two", 0.1, grpc.StatusCode.INVALID_ARGUMENT, "version is 'two'; expected the number of a version"),
        ("2", 1.5, grpc.StatusCode.INVALID_ARGUMENT, "share is 1.5; expected 0 to 1"),
    ],
)
def test_wrong_requests_are_refused(
    serving: Callable[..., Served], version: str, share: float, code: grpc.StatusCode, reason: str
) -> None:
    served = serving()
    with failing(code, reason):
        served.set(version, share)
    with failing(grpc.StatusCode.NOT_FOUND, "no model 'vgg'"):
        served.rollout.GetShadow(rollout_pb2.GetShadowRequest(model="vgg"))


class Broken(RuntimeError):
    """The candidate's graph fails."""


def test_a_candidate_that_fails_harms_nobody(twins: Path, test_images: Any) -> None:
    def fail(inputs: Any) -> Any:
        raise Broken("out of memory")

    async def drive() -> None:
        device = Device()
        async with device, table(twins, device=device) as (models, _):
            rule = Rule("net", 2, 1.0)
            candidates = Candidates(models.table, device.when_idle, [rule])
            candidates.follow("net")
            models.table.versions("net")[2].batchers[PROBE].run_aside = fail  # type: ignore[method-assign]
            current = models.table.get("net", "")
            assert current.number == 1
            shadow = candidates.get("net").shadow
            assert shadow is not None
            found = shadow.comparison
            await current.lean.submit({"image": test_images[:3]})
            await current.lean.submit({"image": test_images[:3]})
            await asyncio.to_thread(until, lambda: found.failed == 6)
            assert (found.failed, found.failure, found.images) == (6, "out of memory", 0)
            await current.lean.submit({"image": test_images[:1]})

    asyncio.run(drive())


def test_comparisons_take_a_small_share_of_the_time(twins: Path, test_images: Any) -> None:
    """However slow the candidate is."""

    async def drive() -> list[tuple[float, float]]:
        device, runs = Device(), []
        async with device, table(twins, device=device) as (models, _):
            candidates = Candidates(models.table, device.when_idle, [Rule("net", 2, 1.0)])
            candidates.follow("net")
            batcher = models.table.versions("net")[2].batchers[PROBE]
            run = batcher.run_aside

            def slow(inputs: Any) -> Any:
                begin = time.monotonic()
                while time.monotonic() < begin + 0.02:
                    pass
                runs.append((begin, time.monotonic()))
                return run(inputs)

            batcher.run_aside = slow  # type: ignore[method-assign]
            await models.table.get("net", "").lean.submit({"image": test_images[:3]})
            await asyncio.to_thread(until, lambda: len(runs) == 3)
        return runs

    runs = asyncio.run(drive())
    busy = sum(end - begin for begin, end in runs[:-1])
    assert busy <= DUTY * (runs[-1][0] - runs[0][0])
