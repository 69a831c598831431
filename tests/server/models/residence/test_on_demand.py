"""Models that are loaded when they are asked for: shared loads, failures, limits, candidates, and what is freed."""

import asyncio
import math
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from resprobe_server.errors import Expired, LoadFailed, NotFound, QueueFull, StartError, TooLarge, Unloaded
from resprobe_server.models.registry import Models
from resprobe_server.models.routes import Route
from resprobe_server.models.table import Table
from resprobe_server.scheduling.budget import Budget

from tests.support.model_table import table
from tests.support.repositories import IMAGES, add


def loaded(models: Models) -> list[str]:
    return models.on_demand.residents.names()


async def bring(models: Models, name: str, seconds: float = math.inf, size: int = 0) -> Table:
    return await models.on_demand.bring(name, time.monotonic() + seconds, size)


def test_the_start_loads_all_and_keeps_so_many(models: Path) -> None:
    async def drive() -> None:
        async with table(models, max_models=2) as (found, health):
            assert found.counts.loaded == {"one": 1, "two": 1, "three": 1}
            assert len(loaded(found)) == 2
            assert health.serving == {"one": True, "two": True, "three": True}
            (absent,) = set(found.table.names()) - set(loaded(found))
            with pytest.raises(Unloaded, match=f"model {absent} is not in memory"):
                found.table.get(absent, "")
            assert found.table.find(absent, "").description.classes
            reasons = {one.name: (str(one.state), one.reason) for one in found.index()}
            assert reasons[absent] == ("UNAVAILABLE", "not in memory; a request for it loads it")
            assert [state for state, _ in reasons.values()].count("READY") == 2

    asyncio.run(drive())


def test_the_least_recently_used_one_leaves(models: Path) -> None:
    async def drive() -> None:
        async with table(models, max_models=2) as (found, _):
            await bring(found, "one")
            await bring(found, "two")
            assert loaded(found) == ["one", "two"]
            await found.table.get("one", "").lean.submit({"image": IMAGES})
            await bring(found, "three")
            assert loaded(found) == ["one", "three"]
            assert sum(found.counts.evicted.values()) >= 2

    asyncio.run(drive())


def test_requests_for_one_model_share_a_load(models: Path) -> None:
    async def drive() -> None:
        async with table(models, max_models=1) as (found, _):
            (here,) = loaded(found)
            other = "one" if here != "one" else "two"
            before = found.counts.loaded[other]
            tables = await asyncio.gather(*(bring(found, other) for _ in range(5)))
            assert found.counts.loaded[other] == before + 1
            assert len({id(one.get(other, "").lean) for one in tables}) == 1

    asyncio.run(drive())


def test_by_turns_and_at_once_every_request_is_answered(models: Path) -> None:
    """With room for one model only, while the others are asked for all the time."""

    async def ask(found: Models, name: str) -> Any:
        outcome = (await bring(found, name)).get(name, "").lean.submit({"image": IMAGES})
        return (await outcome).output("logits")

    async def drive() -> None:
        async with table(models, max_models=1) as (found, _):
            first = await ask(found, "one")
            for name in ("two", "one", "two"):
                assert (await ask(found, name) == first).all()
            answers = await asyncio.gather(*(ask(found, name) for name in ("one", "two", "three") * 3))
            assert all((answer == first).all() for answer in answers)
            assert len(loaded(found)) == 1

    asyncio.run(drive())


def test_one_that_leaves_answers_what_it_accepted(models: Path) -> None:
    async def drive() -> None:
        async with table(models, max_models=1) as (found, _):
            batcher = (await bring(found, "one")).get("one", "").lean
            outcomes = [batcher.submit({"image": IMAGES}) for _ in range(50)]
            del batcher
            await bring(found, "two")
            assert all(outcome.done() for outcome in outcomes)
            assert [len((await outcome).output("logits")) for outcome in outcomes] == [3] * 50

    asyncio.run(drive())


def test_a_load_that_fails_is_told_to_all_and_not_repeated_at_once(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drive() -> None:
        async with table(models, mode="once", max_models=1) as (found, _):
            (here,) = loaded(found)
            other = "one" if here != "one" else "two"
            good = (models / other / "1" / "model.onnx").read_bytes()
            (models / other / "1" / "model.onnx").write_bytes(b"this is no graph")
            failures = await asyncio.gather(*(bring(found, other) for _ in range(3)), return_exceptions=True)
            assert [type(one) for one in failures] == [LoadFailed] * 3
            assert f"model {other} could not be loaded, version 1: " in str(failures[0])
            with pytest.raises(LoadFailed):
                await bring(found, other)
            assert found.counts.failed == {other: 1}
            assert isinstance(found.on_demand.obstacle(other), LoadFailed)
            monkeypatch.setattr("resprobe_server.models.residence.on_demand.time.monotonic", lambda: math.inf)
            (models / other / "1" / "model.onnx").write_bytes(good)
            assert (await found.on_demand.bring(other, math.inf)).names() == [other]

    asyncio.run(drive())


def test_a_model_that_was_removed_is_not_found(models: Path) -> None:
    async def drive() -> None:
        async with table(models, mode="once", max_models=1) as (found, health):
            (here,) = loaded(found)
            other = "one" if here != "one" else "two"
            shutil.rmtree(models / other)
            with pytest.raises(NotFound, match=f"no model '{other}'"):
                await bring(found, other)
            assert not health.serving[other]

    asyncio.run(drive())


def test_a_new_version_of_one_that_is_not_in_memory_is_tested_and_waits(root: Path) -> None:
    async def drive() -> None:
        (root / "other").mkdir()
        add(root, 1, "other")
        async with table(root, max_models=1) as (found, _):
            (here,) = loaded(found)
            absent = "digits" if here == "other" else "other"
            add(root, 2, absent)
            await found.refresh()
            assert loaded(found) == [here]
            assert found.table.find(absent, "").number == 2
            (root / absent / "3").mkdir()
            (root / absent / "3" / "model.onnx").write_bytes(b"this is no graph")
            await found.refresh()
            assert found.table.find(absent, "").number == 2
            assert (await bring(found, absent)).get(absent, "").number == 2
            assert sorted(found.table.versions(absent)) == [1, 2]

    asyncio.run(drive())


def test_a_request_waits_no_longer_than_its_deadline_and_for_no_more_bytes_than_allowed(models: Path) -> None:
    async def drive() -> None:
        async with table(models, max_models=1) as (found, _):
            found.on_demand._loads._budget = Budget(100)
            (here,) = loaded(found)
            other, third = sorted({"one", "two", "three"} - {here})
            before = found.counts.loaded[third]
            running = asyncio.create_task(bring(found, other, size=90))
            await asyncio.sleep(0)
            with pytest.raises(QueueFull, match="would be over the limit"):
                await bring(found, other, size=20)
            with pytest.raises(Expired, match=f"the deadline passed while model {third} was being loaded"):
                await bring(found, third, 0.0)
            await running
            assert (await bring(found, other)).names() == [other]
            await found.refresh()  # after what waited for the lock
            assert found.counts.loaded[third] == before  # nothing waited for it any more

    asyncio.run(drive())


def test_a_request_that_leaves_does_not_end_the_load_of_others(models: Path) -> None:
    async def drive() -> None:
        async with table(models, max_models=1) as (found, _):
            (here,) = loaded(found)
            other = "one" if here != "one" else "two"
            leaves, stays = (asyncio.create_task(bring(found, other)) for _ in range(2))
            await asyncio.sleep(0)
            leaves.cancel()
            assert (await stays).names() == [other]
            assert leaves.cancelled()

    asyncio.run(drive())


def test_a_model_larger_than_all_may_be_is_refused(models: Path) -> None:
    async def drive() -> None:
        async with table(models, max_memory="64KiB") as (found, health):
            assert loaded(found) == []
            with pytest.raises(TooLarge, match=r"model one needs .* MiB, .*--max-memory is too small for it"):
                await bring(found, "one")
            assert health.serving == {"one": False, "two": False, "three": False}
            assert "too small" in found.index()[0].reason

    asyncio.run(drive())


def test_memory_is_bounded(models: Path) -> None:
    async def drive() -> None:
        async with table(models) as (found, _):
            sizes = {name: found.on_demand.residents.size(name) for name in found.table.names()}
            assert min(sizes.values()) > 0
        limit = max(sizes.values()) + min(sizes.values()) // 2  # of one, and not of two
        async with table(models, max_memory=str(max(limit, 40 << 20))) as (found, _):
            for name in ("one", "two", "three"):
                await bring(found, name)
                residents = found.on_demand.residents
                assert sum(map(residents.size, residents.names())) <= residents.limits.memory

    asyncio.run(drive())


def test_models_with_candidates_stay(models: Path) -> None:
    async def drive() -> None:
        async with table(models, max_models=1) as (found, _):
            await bring(found, "one")
            found.table.set_route("one", Route(candidate=2))
            with pytest.raises(QueueFull, match=r"no room for model two: .*candidates \(one\)"):
                await bring(found, "two")
            assert loaded(found) == ["one"]
            found.table.set_route("one", Route())
            await bring(found, "two")
            assert loaded(found) == ["two"]

    asyncio.run(drive())


def test_candidates_that_need_more_room_than_there_is_prevent_the_start(models: Path) -> None:
    async def drive() -> None:
        from resprobe_server.config import Config
        from resprobe_server.scheduling.worker import Device

        async def show(_name: str, _serving: bool) -> None:
            pass

        async with Device() as device:
            found = Models(Config(models, max_models=1), device, show)
            for name in ("one", "two"):
                found.table.set_route(name, Route(candidate=2))
            await found.start()

    with pytest.raises(StartError, match=r"max_models is 1, and 2 models have candidates, .* at least 2"):
        asyncio.run(drive())


def test_explicit_mode_loads_again_what_it_was_told_to_load(models: Path) -> None:
    async def drive() -> None:
        async with table(models, mode="explicit", max_models=1) as (found, _):
            await found.load_model("one")
            await found.load_model("two")
            assert (loaded(found), found.table.names()) == (["two"], ["one", "two"])
            await bring(found, "one")
            await found.load_model("two")
            assert loaded(found) == ["two"]
            await found.unload_model("one")  # it is not loaded again
            assert found.table.names() == ["two"]

    asyncio.run(drive())
