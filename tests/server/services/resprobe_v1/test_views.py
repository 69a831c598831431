"""Views of what inspect.onnx returns: each request gets the parts that it asks for, whatever shares its batch."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub

from tests.support.access import write_tokens
from tests.support.calls import raw
from tests.support.servers import Serve

Images = npt.NDArray[np.uint8]
VIEWS = (pb.VIEW_BLOCKS, pb.VIEW_MAPS, pb.VIEW_CHANNELS, pb.VIEW_READOUTS, pb.VIEW_CAM)


def inspected(repository: Path, images: Images, scale: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
    session = onnxruntime.InferenceSession(repository / "digits/2/inspect.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {"image": images, "block_scale": scale})
    return dict(zip(names, found, strict=True))


def close(one: Any, two: Any) -> None:
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scale", [(1, 1, 1), (1, 0, 0.5)])
def test_all_views_are_what_the_graph_returns(
    stub: ResidualServiceStub, repository: Path, test_images: Images, scale: tuple[float, ...]
) -> None:
    images = test_images[:11]  # more than a batch of this server
    block_scale = () if scale == (1, 1, 1) else scale
    request = pb.ClassifyRequest(model="digits", images=raw(images), top_k=3, views=VIEWS, block_scale=block_scale)
    expected = inspected(repository, images, np.tile(np.array(scale, np.float32), (11, 1)))
    for row, result in enumerate(stub.Classify(request).results):
        indices = [one.index for one in result.classes]
        assert indices == np.argsort(-expected["logits"][row])[:3].tolist()
        close([one.values for one in result.statistics], expected["blocks"][row].T)
        close([result.maps.branch, result.maps.shortcut], expected["maps"][row])
        close([result.channels.branch, result.channels.shortcut], expected["channels"][row])
        close(result.readouts, expected["readouts"][row].ravel())
        for one, index in zip(result.classes, indices, strict=True):
            close(one.cam, expected["cam"][row, index].ravel())


def parts(result: pb.ImageResult) -> set[int]:
    """Views whose parts a result has."""
    return {
        view
        for view, there in (
            (pb.VIEW_BLOCKS, len(result.statistics)),
            (pb.VIEW_MAPS, result.HasField("maps")),
            (pb.VIEW_CHANNELS, result.HasField("channels")),
            (pb.VIEW_READOUTS, len(result.readouts)),
            (pb.VIEW_CAM, len(result.classes[0].cam)),
        )
        if there
    }


WISHES = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from([pb.VIEW_UNSPECIFIED, *VIEWS]), st.sets(st.sampled_from(VIEWS))),
    min_size=1,
    max_size=12,
)


@given(wishes=WISHES)
@settings(max_examples=10)
def test_requests_of_different_views_that_share_batches(
    address: str, stub: ResidualServiceStub, test_images: Images, wishes: list[tuple[int, int, set[int]]]
) -> None:
    requests = [
        pb.ClassifyRequest(model="digits", images=raw(test_images[at : at + count]), view=view, views=views, top_k=2)  # type: ignore[arg-type]
        for at, (count, view, views) in enumerate(wishes)
    ]

    async def together() -> list[pb.ClassifyResponse]:
        async with grpc.aio.insecure_channel(address) as channel:
            ask = ResidualServiceStub(channel).Classify
            return await asyncio.gather(*(ask(request) for request in requests))

    for request, found in zip(requests, asyncio.run(together()), strict=True):
        alone = stub.Classify(request)
        for one, two in zip(found.results, alone.results, strict=True):
            assert parts(one) == {*request.views, request.view} - {pb.VIEW_UNSPECIFIED}
            for name in ("readouts", "maps", "channels"):
                first, second = getattr(one, name), getattr(two, name)
                if name != "readouts":
                    close(first.shortcut, second.shortcut)
                    first, second = first.branch, second.branch
                close(first, second)
            close(one.classes[0].cam, two.classes[0].cam)


def test_the_description_names_the_views_and_the_readouts(stub: ResidualServiceStub) -> None:
    model = stub.GetModel(pb.GetModelRequest(name="digits"))
    assert list(model.serving.views) == [pb.VIEW_BASIC, *VIEWS]
    assert [block.readout.head for block in model.blocks] == [0, 0, pb.READOUT_HEAD_OWN]
    assert list(stub.GetModel(pb.GetModelRequest(name="plain")).serving.views) == [pb.VIEW_BASIC]


def test_a_version_without_the_graph_says_so(
    start: Serve, repository: Path, tmp_path: Path, test_images: Images
) -> None:
    shutil.copytree(repository / "digits" / "1", tmp_path / "digits" / "1")
    (tmp_path / "digits/1/inspect.onnx").unlink()
    description = tmp_path / "digits/1/model.json"
    found = json.loads(description.read_text())
    del found["provenance"]["graphSha256"]["inspect.onnx"]
    description.write_text(json.dumps(found))
    with start(tmp_path) as address, grpc.insecure_channel(address) as channel:
        stub = ResidualServiceStub(channel)
        assert list(stub.GetModel(pb.GetModelRequest()).serving.views) == [pb.VIEW_BASIC, pb.VIEW_BLOCKS]
        with pytest.raises(grpc.RpcError, match=r"cannot return maps, cam: it comes without inspect\.onnx"):
            stub.Classify(pb.ClassifyRequest(images=raw(test_images[:1]), views=[pb.VIEW_MAPS, pb.VIEW_CAM]))


def test_a_response_that_would_be_too_large_is_refused(start: Serve, repository: Path, test_images: Images) -> None:
    with start(repository, max_message=1) as address, grpc.insecure_channel(address) as channel:
        images = raw(np.concatenate([test_images] * 4))
        request = pb.ClassifyRequest(model="digits", images=images, views=[pb.VIEW_MAPS, pb.VIEW_CHANNELS])
        with pytest.raises(grpc.RpcError) as caught:
            ResidualServiceStub(channel).Classify(request)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "the response would have 2.2 MiB, more than the 1 that are allowed; send at most" in str(caught.value)


def test_views_need_the_right_to_analyse(start: Serve, repository: Path, tmp_path: Path, test_images: Images) -> None:
    tokens = write_tokens(tmp_path / "tokens.toml")
    with start(repository, tokens=tokens) as address, grpc.insecure_channel(address) as channel:
        stub = ResidualServiceStub(channel)
        for view in VIEWS:
            request = pb.ClassifyRequest(model="digits", images=raw(test_images[:1]), views=[view])
            assert len(stub.Classify(request, metadata=(("authorization", "Bearer a-analyst"),)).results) == 1
            with pytest.raises(grpc.RpcError, match="this needs the right analyse"):
                stub.Classify(request, metadata=(("authorization", "Bearer a-classifier"),))
