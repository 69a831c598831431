"""The Python surface as people use it: numbers, names, copies and clients that were closed."""

import asyncio
import copy
import dataclasses
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from resprobe import datasets

from tests.support.datasets import write_cifar


def test_the_public_surface_is_what_is_documented() -> None:
    assert set(resprobe.__all__) - {"analysis", "compare", "drift"} == {
        name
        for name, value in vars(resprobe).items()
        if isinstance(value, type) and value.__module__.startswith("resprobe.")
    }
    for name in ("Client", "AsyncClient"):
        methods = {one for one in vars(getattr(resprobe, name)) if not one.startswith("_")}
        assert methods == {"close", "models", "model", "classify", "stream", "lesions", "health", "counters", "rollout"}
    assert resprobe.analysis is sys.modules["resprobe.analysis"]
    assert not hasattr(resprobe, "no_such_name")


def test_importing_it_needs_neither_torch_nor_onnxruntime() -> None:
    unwanted = {"torch", "onnxruntime", "matplotlib", "pyarrow"}
    code = f"import sys; from resprobe import *; print(sorted({unwanted} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_version_may_be_a_number(client: resprobe.Client, test_images: npt.NDArray[np.uint8]) -> None:
    assert client.model("digits", 1).version == "1"
    assert client.classify(test_images[:2], model="digits", version=1).version == "1"


def test_the_package_shows_what_it_offers() -> None:
    assert dir(resprobe) == resprobe.__all__
    assert resprobe.__version__.count(".") == 2


def test_a_model_is_one_line(client: resprobe.Client) -> None:
    model = client.model("digits")
    shape, inside = "image=8×8×1, classes=10", f"blocks={len(model.blocks)}, provider='CPUExecutionProvider'"
    assert repr(model) == f"Model('digits', version={model.version!r}, {shape}, {inside})"


def test_a_directory_may_be_text(tmp_path: Path) -> None:
    assert len(datasets.load("cifar10", str(write_cifar(tmp_path)))) == 3


def test_a_description_can_be_copied_and_kept(client: resprobe.Client) -> None:
    model = client.model("digits")
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other == model
    assert {model: "seen"}[client.model("digits")] == "seen"
    assert dataclasses.asdict(model)["blocks"][0]["baseline"]["ratio"]["quantiles"][0.5] > 0


def test_results_can_be_compared_and_kept(client: resprobe.Client, test_images: npt.NDArray[np.uint8]) -> None:
    one, two = (client.classify(test_images[:3], model="digits", blocks=True) for _ in range(2))
    assert (one == one, one == two, one in [two, one]) == (True, False, True)
    assert (one.blocks == two.blocks) is False
    assert pickle.loads(pickle.dumps(one)).classes.tolist() == one.classes.tolist()
    assert datasets.load("digits") != datasets.load("digits")


def test_a_scale_may_name_blocks(client: resprobe.Client, address: str, test_images: npt.NDArray[np.uint8]) -> None:
    images, scale = test_images[:5], {"stage2.block0": 0}
    expected = client.classify(images, model="digits", block_scale=[1, 0, 1]).probabilities
    options: dict[str, Any] = {"model": "digits", "block_scale": scale}
    np.testing.assert_allclose(client.classify(images, **options).probabilities, expected, atol=1e-5)
    (found,) = client.stream([images], **options)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)

    async def drive() -> None:
        async with resprobe.AsyncClient(address) as twin:
            np.testing.assert_allclose((await twin.classify(images, **options)).probabilities, expected, atol=1e-5)
            async for result in twin.stream([images], **options):
                np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)

    asyncio.run(drive())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_scale": "stage2.block0"}, "block_scale: expected numbers"),
        ({"block_scale": ["1", "0", "1"]}, "block_scale: expected numbers"),
        ({"block_scale": [[1, 1, 1], [1]]}, "block_scale: expected numbers"),
        ({"block_scale": {"stage2.block1": 0}}, "has no block 'stage2.block1'; nearest: stage"),
        ({"block_scale": {"stage2.block0": "off"}}, "block_scale: expected numbers"),
        ({"block_scale": {2: 0}}, "has no block 2"),
        ({"top_k": "5"}, "top_k '5': expected"),
        ({"top_k": 2**40}, "top_k 1099511627776: expected"),
        ({"request_id": 7}, "request_id 7: expected text"),
        ({"request_id": "\ud800"}, "request_id '.ud800': expected text"),
        ({"version": 1.5}, "version 1.5: expected a name, and a version"),
        ({"version": True}, "version True: expected"),
        ({"model": None}, "model None version '': expected"),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_a_sentence(
    client: resprobe.Client, test_images: npt.NDArray[np.uint8], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(resprobe.InvalidRequest, match=message):
        client.classify(test_images[:2], **{"model": "digits", **options})


@pytest.mark.parametrize("length", [300, 9_000, 100_000])
def test_a_name_of_any_length_is_not_found(client: resprobe.Client, test_images: Any, length: int) -> None:
    asked: list[dict[str, Any]] = [{"model": "x" * length}, {"model": "digits", "version": "1" * length}]
    for options in asked:
        with pytest.raises(resprobe.ModelNotFound, match="no name has"):
            client.classify(test_images[:1], **options)
    with pytest.raises(resprobe.ModelNotFound, match="no model '"):
        client.model("x" * length)


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", [resprobe.Client, resprobe.AsyncClient])
def test_a_client_stays_where_it_is(kind: Any, take: Any) -> None:
    async def attempt() -> None:
        with pytest.raises(resprobe.InvalidRequest, match="a client cannot be copied or sent to another process"):
            take(kind("127.0.0.1:1"))

    asyncio.run(attempt())


def test_outside_of_asyncio_there_is_no_async_client() -> None:
    found: list[Exception] = []

    def make() -> None:
        try:
            resprobe.AsyncClient("127.0.0.1:1")
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert isinstance(found[0], resprobe.InvalidRequest)
    assert "inside a coroutine" in str(found[0])


def test_a_closed_client_says_so(address: str, test_images: npt.NDArray[np.uint8]) -> None:
    client = resprobe.Client(address)
    client.close()
    client.close()
    for ask in (client.models, client.model, lambda: client.classify(test_images[:1], model="digits")):
        with pytest.raises(resprobe.InvalidRequest, match="the client is closed"):
            ask()
    with pytest.raises(resprobe.InvalidRequest, match="the client is closed"):
        list(client.stream([test_images[:1]], model="digits"))

    async def drive() -> None:
        twin = resprobe.AsyncClient(address)
        await twin.close()
        with pytest.raises(resprobe.InvalidRequest, match="the client is closed"):
            await twin.classify(test_images[:1], model="digits")

    asyncio.run(drive())
