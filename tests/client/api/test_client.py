"""The client library against a real server: the fixed surface, the tree of errors, streams in order."""

import asyncio
import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from resprobe._pictures.images import Encoded, Pixels, collect
from resprobe._wire.status import DETAILS, raise_error

from tests.support.servers import Serve


def test_the_public_surface_is_what_is_documented() -> None:
    assert set(resprobe.__all__) - {"analysis", "compare", "drift"} == {
        name
        for name, value in vars(resprobe).items()
        if isinstance(value, type) and value.__module__.startswith("resprobe.")
    }
    for name in ("Client", "AsyncClient"):
        methods = {one for one in vars(getattr(resprobe, name)) if not one.startswith("_")}
        assert methods == {"close", "models", "model", "classify", "stream", "lesions", "health"}
    assert resprobe.analysis is sys.modules["resprobe.analysis"]
    assert not hasattr(resprobe, "no_such_name")


def test_importing_it_needs_neither_torch_nor_onnxruntime() -> None:
    unwanted = {"torch", "onnxruntime", "matplotlib", "pyarrow"}
    code = f"import sys; from resprobe import *; print(sorted({unwanted} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_result_has_the_promised_shapes(client: resprobe.Client, test_images: npt.NDArray[np.uint8]) -> None:
    result = client.classify(test_images[:11], model="digits", blocks=True, top_k=3)
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


def test_without_blocks_there_are_none(client: resprobe.Client, test_images: npt.NDArray[np.uint8]) -> None:
    assert client.classify(test_images[0], model="digits").blocks is None


def test_a_description_carries_the_baseline(client: resprobe.Client) -> None:
    model = client.model("digits")
    assert (model.version, model.depth, model.dataset, model.baseline_images) == ("2", 8, "digits", 360)
    assert (model.is_default, model.has_blocks, model.has_block_scale, model.max_batch) == (True, True, True, 8)
    block = model.blocks[1]
    assert (block.name, block.shortcut, block.size, block.stride) == ("stage2.block0", "pad", 512, 2)
    ratio = block.baseline["ratio"]
    assert ratio.quantiles[0.1] < ratio.quantiles[0.5] < ratio.quantiles[0.9]
    assert client.model("plain").accuracy is None


def images_of_every_kind(image: npt.NDArray[np.uint8], directory: Path) -> dict[str, Any]:
    picture = Image.fromarray(image[..., 0])
    path, file = directory / "image.png", io.BytesIO()
    picture.save(path)
    picture.save(file, "PNG")
    return {
        "array": image,
        "batch": image[None],
        "path": path,
        "string": str(path),
        "bytes": file.getvalue(),
        "PIL": picture,
        "PIL colour": picture.convert("RGB"),
        "PIL palette": picture.convert("P"),
        "list": [image],
        "mixed": [path, image, picture],
    }


KINDS = ["array", "batch", "path", "string", "bytes", "PIL", "PIL colour", "PIL palette", "list", "mixed"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_means_the_same(
    client: resprobe.Client, test_images: npt.NDArray[np.uint8], tmp_path: Path, kind: str
) -> None:
    expected = client.classify(test_images[:1], model="digits")
    result = client.classify(images_of_every_kind(test_images[0], tmp_path)[kind], model="digits")
    for classes, probabilities in zip(result.classes, result.probabilities, strict=True):
        assert classes.tolist() == expected.classes[0].tolist()
        np.testing.assert_allclose(probabilities, expected.probabilities[0], rtol=1e-2, atol=1e-5)


def zeros(*shape: int, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("images", "message", "index"),
    [
        (zeros(8, 8, 1, dtype=np.float32), "image 0: dtype float32; expected uint8 pixels; scale to 0…255 and cast", 0),
        (zeros(2, 8, 8, 1, dtype=np.int64), "images: dtype int64; expected uint8 pixels", None),
        (zeros(8, 8), "image 0: shape [8, 8]; expected [height, width, 1 or 3]", 0),
        (zeros(2, 8, 8, 4), "images: shape [2, 8, 8, 4]; expected [n, height, width, 1 or 3]", None),
        (zeros(1, 2, 8, 8, 1), "image 0: shape [1, 2, 8, 8, 1]; expected [height, width, 1 or 3]", 0),
        (zeros(0, 8, 1), "image 0: shape [0, 8, 1]; expected [height, width, 1 or 3]", 0),
        ([zeros(8, 8, 1), zeros(1, 8, 8, 1)], "image 1: shape [1, 8, 8, 1]; expected [height, width, 1 or 3]", 1),
        ([zeros(8, 8, 1), None], "image 1 is a NoneType; expected a uint8 array or torch tensor, a path", 1),
        ("/nowhere/cat.jpg", "/nowhere/cat.jpg cannot be read: No such file or directory", 0),
        ([b"hello"], "image 0 is 5 bytes that are not a JPEG, PNG or WebP file", 0),
    ],
    ids=str,
)
def test_an_image_that_cannot_be_used(client: resprobe.Client, images: Any, message: str, index: int | None) -> None:
    with pytest.raises(resprobe.InvalidImage) as caught:
        client.classify(images, model="digits")
    assert str(caught.value).startswith(message)
    assert caught.value.index == index


def test_a_bad_file_is_called_by_its_name(client: resprobe.Client, tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(resprobe.InvalidImage, match=r"notes\.txt is 10 bytes that are not a JPEG") as caught:
        client.classify([zeros(8, 8, 1), tmp_path / "notes.txt"], model="digits")
    assert (caught.value.index, caught.value.status) == (1, "INVALID_ARGUMENT")


@pytest.mark.parametrize("nothing", [[], (), zeros(0, 8, 8, 1)], ids=["list", "tuple", "array"])
def test_no_images_at_all(client: resprobe.Client, nothing: Any) -> None:
    with pytest.raises(resprobe.InvalidRequest, match="no images were given"):
        client.classify(nothing, model="digits")


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
    client: resprobe.Client, options: dict[str, Any], kind: type[resprobe.Error], status: str
) -> None:
    with pytest.raises(kind) as caught:
        client.classify(zeros(1, 8, 8, 1), **{"model": "digits", **options})
    assert caught.value.status == status


def test_a_request_over_the_servers_limit(start: Serve, repository: Path) -> None:
    message = r"the maximum is 1\.0 MiB; send fewer images at a time"
    with (
        start(repository, max_message=1) as address,
        resprobe.Client(address) as client,
        pytest.raises(resprobe.RequestTooLarge, match=message),
    ):
        client.classify(zeros(20_000, 8, 8, 1))


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        message = f"nothing listens at {address}; is resprobe-server running"
        with resprobe.Client(address) as client, pytest.raises(resprobe.ServerUnavailable, match=message):
            client.models()


def failed(code: grpc.StatusCode, *details: Message) -> grpc.aio.AioRpcError:
    """A call that failed as a test wants it."""
    status = status_pb2.Status(code=code.value[0])
    for detail in details:
        status.details.add().Pack(detail)
    metadata = grpc.aio.Metadata((DETAILS, status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details="because")


def test_a_busy_server_says_when_to_come_back() -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000))
    with pytest.raises(resprobe.ServerBusy) as caught:
        raise_error(failed(grpc.StatusCode.RESOURCE_EXHAUSTED, retry), "here")
    assert caught.value.retry_after == 2.5


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_every_status_is_in_the_tree(code: grpc.StatusCode) -> None:
    with pytest.raises(resprobe.Error, match="because") as caught:
        raise_error(failed(code), "here")
    assert caught.value.status == code.name


def test_a_stream_keeps_the_order_and_bounds_what_is_under_way(
    client: resprobe.Client, test_images: npt.NDArray[np.uint8]
) -> None:
    taken = 0

    def batches() -> Iterator[npt.NDArray[np.uint8]]:
        nonlocal taken
        for start in range(0, 300, 10):
            taken += 1
            yield test_images[start : start + 10]

    seen: list[npt.NDArray[np.int64]] = []
    for result in client.stream(batches(), model="digits", blocks=True, top_k=1, in_flight=3):
        assert taken <= len(seen) + 3
        assert result.blocks is not None
        seen.append(result.classes[:, 0])
    whole = client.classify(test_images[:300], model="digits", top_k=1)
    assert np.concatenate(seen).tolist() == whole.classes[:, 0].tolist()


def test_a_stream_passes_on_what_its_source_raises(client: resprobe.Client) -> None:
    def batches() -> Iterator[npt.NDArray[np.uint8]]:
        yield zeros(1, 8, 8, 1)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(client.stream(batches(), model="digits"))
    with pytest.raises(resprobe.InvalidImage):
        list(client.stream([zeros(1, 8, 8, 1), zeros(1, 8, 8, 1, dtype=float)], model="digits"))


def test_the_async_twin_does_the_same(address: str, test_images: npt.NDArray[np.uint8]) -> None:
    images = test_images[:30]
    parts = [images[start : start + 7] for start in range(0, 30, 7)]

    async def drive() -> None:
        async with resprobe.AsyncClient(address) as client:
            assert [model.name for model in await client.models()] == ["colour", "digits", "digits", "plain"]
            whole = await client.classify(images, model="digits", blocks=True, top_k=2)
            assert whole.blocks is not None
            assert whole.blocks.ratio.shape == (30, 3)

            async def batches() -> Any:
                for part in parts:
                    yield part

            for source in (batches(), parts):
                found = [result.classes async for result in client.stream(source, model="digits", top_k=2)]
                assert np.concatenate(found).tolist() == whole.classes.tolist()
            with pytest.raises(resprobe.ModelNotFound, match="no model 'vgg'"):
                await client.classify(images, model="vgg")
            with pytest.raises(resprobe.ModelNotFound):
                await client.model("vgg")
            with pytest.raises(resprobe.InvalidImage):
                await client.classify("/nowhere.png")

    asyncio.run(drive())


def test_block_statistics_of_nothing() -> None:
    sizes, zero, one = [4], np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    derive = resprobe.BlockStatistics.derive
    assert derive(["a"], sizes, one, zero, zero, zero).ratio[0, 0] == np.inf
    assert np.isnan(derive(["a"], sizes, zero, zero, zero, zero).ratio[0, 0])
    assert derive(["a"], sizes, zero, one, zero, zero).ratio[0, 0] == 0
    assert np.isnan(derive(["a"], sizes, zero, one, zero, zero).cosine[0, 0])


@given(
    values=st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4),
    shortcut=st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4),
)
def test_derived_statistics_are_those_of_the_tensors(values: list[float], shortcut: list[float]) -> None:
    f, s = np.array(values), np.array(shortcut)
    raw = [np.array([[number]], np.float32) for number in (np.linalg.norm(f), np.linalg.norm(s), f @ s, f.mean())]
    found = resprobe.BlockStatistics.derive(["a"], [4], *raw)
    assert found.branch_std[0, 0] == pytest.approx(f.std(), abs=float(2e-3 * np.linalg.norm(f) + 1e-6))
    if np.linalg.norm(f) > 1e-3 and np.linalg.norm(s) > 1e-3:
        assert found.ratio[0, 0] == pytest.approx(np.linalg.norm(f) / np.linalg.norm(s), rel=1e-4)
        assert found.cosine[0, 0] == pytest.approx(f @ s / np.linalg.norm(f) / np.linalg.norm(s), abs=1e-4)


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3])).map(lambda shape: zeros(*shape))
        | st.binary(min_size=1, max_size=9).filter(lambda data: data[:2] != b"BM"),  # those are read here
        min_size=1,
    )
)
def test_collecting_keeps_count_and_order(images: list[Any]) -> None:
    found = collect(images)
    assert len(found) == len(images)
    for one, image in zip(found, images, strict=True):
        if isinstance(image, bytes):
            assert isinstance(one, Encoded)
            assert one.data == image
        else:
            assert isinstance(one, Pixels)
            assert (one.height, one.width, one.channels) == image.shape
