"""Both clients against a real server: results, descriptions, the tree of errors, streams in order."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import resprobe

from tests.support.clients import Connect
from tests.support.servers import Serve


def test_a_result_has_the_promised_shapes(either: resprobe.Client, test_images: npt.NDArray[np.uint8]) -> None:
    result = either.classify(test_images[:11], model="digits", blocks=True, top_k=3)
    assert len(result) == 11
    assert (result.classes.shape, str(result.classes.dtype)) == ((11, 3), "int64")
    assert (result.probabilities.shape, str(result.probabilities.dtype)) == ((11, 3), "float32")
    assert result.labels == [str(index) for index in result.classes[:, 0]]
    assert (result.model, result.version, result.provider) == ("digits", "2", "CPUExecutionProvider")
    assert result.timings.queue >= 0
    assert result.timings.inference > 0
    assert result.batch_size == 8
    blocks = result.blocks
    assert blocks is not None
    assert blocks.names == ["stage1.block0", "stage2.block0", "stage3.block0"]
    for name in ("branch_l2", "shortcut_l2", "ratio", "cosine", "branch_std"):
        array = getattr(blocks, name)
        assert (array.shape, array.dtype) == ((11, 3), np.float32)
    np.testing.assert_allclose(blocks.ratio, blocks.branch_l2 / blocks.shortcut_l2, rtol=1e-5)
    assert (np.abs(blocks.cosine) <= 1).all()
    root_mean_square = blocks.branch_l2 / np.sqrt([16 * 64, 32 * 16, 64 * 4])
    assert (blocks.branch_std <= root_mean_square + 1e-6).all()
    assert (blocks.branch_std > 0).all()


def test_without_blocks_there_are_none(either: resprobe.Client, test_images: npt.NDArray[np.uint8]) -> None:
    assert either.classify(test_images[0], model="digits").blocks is None


def test_a_description_carries_the_baseline(either: resprobe.Client) -> None:
    model = either.model("digits")
    assert (model.version, model.depth, model.dataset, model.baseline_images) == ("2", 8, "digits", 360)
    assert (model.is_default, model.has_blocks, model.has_block_scale, model.max_batch) == (True, True, True, 8)
    block = model.blocks[1]
    assert (block.name, block.shortcut, block.size, block.stride) == ("stage2.block0", "pad", 512, 2)
    ratio = block.baseline["ratio"]
    assert ratio.quantiles[0.1] < ratio.quantiles[0.5] < ratio.quantiles[0.9]
    assert either.model("plain").accuracy is None


def zeros(*shape: int, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("options", "kind", "status"),
    [
        ({"top_k": 0}, resprobe.InvalidRequest, "INVALID_ARGUMENT"),
        ({"model": "vgg"}, resprobe.ModelNotFound, "NOT_FOUND"),
        ({"version": "9"}, resprobe.ModelNotFound, "NOT_FOUND"),
        ({"model": "plain", "blocks": True}, resprobe.StatisticsUnavailable, "FAILED_PRECONDITION"),
        ({"model": "plain", "block_scale": [1]}, resprobe.StatisticsUnavailable, "FAILED_PRECONDITION"),
        ({"timeout": -1}, resprobe.DeadlineExceeded, "DEADLINE_EXCEEDED"),
    ],
    ids=str,
)
def test_each_status_has_its_exception(
    either: resprobe.Client, options: dict[str, Any], kind: type[resprobe.Error], status: str
) -> None:
    with pytest.raises(kind) as caught:
        either.classify(zeros(1, 8, 8, 1), **{"model": "digits", **options})
    assert caught.value.status == status


def test_a_request_over_the_servers_limit(start: Serve, repository: Path, connect: Connect) -> None:
    message = r"the maximum is 1\.0 MiB; send fewer images at a time"
    with (
        start(repository, max_message=1) as address,
        connect(address) as client,
        pytest.raises(resprobe.RequestTooLarge, match=message),
    ):
        client.classify(zeros(20_000, 8, 8, 1))


def test_nothing_listens(connect: Connect) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        message = f"nothing listens at {address}; is resprobe-server running"
        with connect(address) as client, pytest.raises(resprobe.ServerUnavailable, match=message):
            client.models()


def test_a_stream_keeps_the_order_and_bounds_what_is_under_way(
    either: resprobe.Client, test_images: npt.NDArray[np.uint8]
) -> None:
    taken = 0

    def batches() -> Iterator[npt.NDArray[np.uint8]]:
        nonlocal taken
        for start in range(0, 300, 10):
            taken += 1
            yield test_images[start : start + 10]

    seen: list[npt.NDArray[np.int64]] = []
    for result in either.stream(batches(), model="digits", blocks=True, top_k=1, in_flight=3):
        assert taken <= len(seen) + 3
        assert result.blocks is not None
        seen.append(result.classes[:, 0])
    whole = either.classify(test_images[:300], model="digits", top_k=1)
    assert np.concatenate(seen).tolist() == whole.classes[:, 0].tolist()


def test_a_stream_passes_on_what_its_source_raises(either: resprobe.Client) -> None:
    def batches() -> Iterator[npt.NDArray[np.uint8]]:
        yield zeros(1, 8, 8, 1)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(either.stream(batches(), model="digits"))
    with pytest.raises(resprobe.InvalidImage):
        list(either.stream([zeros(1, 8, 8, 1), zeros(1, 8, 8, 1, dtype=float)], model="digits"))


def test_models_are_listed_by_name_and_version(either: resprobe.Client) -> None:
    found = [(model.name, model.version) for model in either.models()]
    assert found == [("colour", "1"), ("digits", "1"), ("digits", "2"), ("plain", "1")]


def test_batches_may_come_from_an_asynchronous_iterable(address: str, test_images: npt.NDArray[np.uint8]) -> None:
    parts = [test_images[start : start + 7] for start in range(0, 30, 7)]

    async def batches() -> Any:
        for part in parts:
            yield part

    async def drive() -> None:
        async with resprobe.AsyncClient(address) as client:
            whole = await client.classify(test_images[:35], model="digits", top_k=2)
            found = [result.classes async for result in client.stream(batches(), model="digits", top_k=2)]
            assert np.concatenate(found).tolist() == whole.classes.tolist()

    asyncio.run(drive())
