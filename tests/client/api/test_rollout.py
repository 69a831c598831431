"""`client.rollout` and `request_id`: candidates of a real server, as both clients ask about them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import resprobe

from tests.support.servers import Serve
from tests.support.waiting import until

IMAGE = np.zeros((8, 8, 1), np.uint8)


@pytest.fixture
def where(start: Serve, repository: Path) -> Iterator[str]:
    """Address of a server whose model digits has two versions with the same content."""
    with start(repository) as address:
        yield address


def test_a_candidate_is_compared_promoted_and_rolled_back(where: str) -> None:
    with resprobe.Client(where) as client:
        assert client.rollout.set("digits", 2, share=1).current_version == "1"
        assert client.classify(IMAGE, model="digits").version == "1"
        until(lambda: client.rollout.shadow("digits").images == 1)
        assert client.rollout.shadow("digits").agreement == 1
        assert client.rollout.promote("digits") == resprobe.DefaultChange("2", "1")
        assert client.classify(IMAGE, model="digits").version == "2"
        assert client.rollout.rollback("digits") == resprobe.DefaultChange("1", "2")
        assert client.classify(IMAGE, model="digits").version == "1"


def test_the_asynchronous_client_does_the_same(where: str) -> None:
    async def drive() -> None:
        async with resprobe.AsyncClient(where) as client:
            assert (await client.rollout.set("digits", "2", split=1)).split == 1
            assert (await client.rollout.shadow("digits")).version == "2"
            assert (await client.classify(IMAGE, model="digits", request_id="one")).version == "2"
            assert (await client.classify(IMAGE, model="digits")).version == "1"
            assert await client.rollout.promote("digits") == resprobe.DefaultChange("2", "1")
            assert await client.rollout.rollback("digits") == resprobe.DefaultChange("1", "2")

    asyncio.run(drive())


def test_an_id_keeps_its_version(where: str) -> None:
    with resprobe.Client(where) as client:
        client.rollout.set("digits", 2, split=0.5)
        names = [f"request {number}" for number in range(60)]
        first, again = (
            [client.classify(IMAGE, model="digits", request_id=name).version for name in names] for _ in range(2)
        )
        assert first == again
        assert 15 <= first.count("2") <= 45
        assert {client.classify(IMAGE, model="digits").version for _ in range(10)} == {"1"}
        client.rollout.set("digits", 2, split=1)
        assert {client.classify(IMAGE, model="digits", request_id=name).version for name in names} == {"2"}
        assert client.classify(IMAGE, model="digits", version=1, request_id=names[0]).version == "1"


def test_what_cannot_be_done_is_a_sentence(where: str) -> None:
    with resprobe.Client(where) as client:
        rollout = client.rollout
        with pytest.raises(resprobe.ModelNotFound, match="model digits has no candidate"):
            rollout.shadow("digits")
        with pytest.raises(resprobe.InvalidRequest, match="model 'digits/2': expected a name without a version"):
            rollout.promote("digits/2")
        with pytest.raises(resprobe.InvalidRequest, match=r"share '0.1', split 0.0: expected numbers"):
            rollout.set("digits", 2, share="0.1")  # type: ignore[arg-type]
        with pytest.raises(resprobe.InvalidRequest, match="share is 2"):
            rollout.set("digits", 2, share=2)
        with pytest.raises(resprobe.InvalidRequest, match="version is 'two'"):
            rollout.set("digits", "two")
        with pytest.raises(resprobe.StatisticsUnavailable, match="no version of digits was promoted"):
            rollout.rollback("digits")
    with pytest.raises(resprobe.InvalidRequest, match="the client is closed"):
        rollout.shadow("digits")
