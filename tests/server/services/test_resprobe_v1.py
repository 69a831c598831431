"""resprobe.v1 over a real channel: what is answered, and the status of what is not."""

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import given, settings
from hypothesis import strategies as st
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.execution.outputs import best_classes
from resprobe_server.images.format import Format
from resprobe_server.services.resprobe_v1.messages import stack

from tests.support.calls import png, raw
from tests.support.servers import Serve


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> ResidualServiceStub:
    return ResidualServiceStub(channel)


def session(repository: Path, model: str, file: str = "probe.onnx") -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(repository / model / "1" / file, providers=["CPUExecutionProvider"])


def test_classes_and_blocks_are_what_the_graph_returns(
    stub: ResidualServiceStub, repository: Path, test_images: npt.NDArray[np.uint8]
) -> None:
    images = test_images[:20]  # more than a batch of this server
    request = pb.ClassifyRequest(model="digits", images=raw(images), top_k=3, view=pb.VIEW_BLOCKS, id="mine")
    response = stub.Classify(request)
    logits, blocks = session(repository, "digits").run(None, {"image": images})
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert (response.id, response.model, response.version) == ("mine", "digits", "2")
    assert response.provider == "CPUExecutionProvider"
    assert response.batch_size == 8
    assert response.timings.inference.nanos > 0
    assert len(response.results) == 20
    for row, result in enumerate(response.results):
        order = np.argsort(-logits[row])[:3]
        assert [one.index for one in result.classes] == order.tolist()
        assert [one.label for one in result.classes] == [str(index) for index in order]
        np.testing.assert_allclose([one.probability for one in result.classes], probabilities[row, order], rtol=1e-3)
        assert [one.name for one in result.statistics] == ["branch_l2", "shortcut_l2", "dot", "branch_mean"]
        for place, statistic in enumerate(result.statistics):
            np.testing.assert_allclose(statistic.values, blocks[row, :, place], rtol=1e-3, atol=1e-3)


def test_encoded_and_raw_images_mix(stub: ResidualServiceStub, test_images: npt.NDArray[np.uint8]) -> None:
    mixed = [png(test_images[0]), *raw(test_images[1:2]), png(test_images[2])]
    first = stub.Classify(pb.ClassifyRequest(model="digits", images=mixed))
    second = stub.Classify(pb.ClassifyRequest(model="digits", images=raw(test_images[:3])))
    for one, two in zip(first.results, second.results, strict=True):
        assert [c.index for c in one.classes] == [c.index for c in two.classes]
        np.testing.assert_allclose(
            [c.probability for c in one.classes], [c.probability for c in two.classes], rtol=1e-3, atol=1e-6
        )


def test_without_a_wish_there_are_five_classes_and_no_blocks(
    stub: ResidualServiceStub, test_images: npt.NDArray[np.uint8]
) -> None:
    response = stub.Classify(pb.ClassifyRequest(model="digits", images=raw(test_images[:1])))
    assert len(response.results[0].classes) == 5
    assert len(response.results[0].statistics) == 0


def test_more_classes_than_there_are_means_all(stub: ResidualServiceStub, test_images: npt.NDArray[np.uint8]) -> None:
    response = stub.Classify(pb.ClassifyRequest(model="digits", images=raw(test_images[:1]), top_k=10_000))
    assert sum(one.probability for one in response.results[0].classes) == pytest.approx(1, abs=1e-5)
    assert len(response.results[0].classes) == 10


IMAGE = pb.Image(pixels=pb.Pixels(height=8, width=8, channels=1, data=bytes(64)))
BAD = pb.Image(encoded=b"hello")
INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
UNSUPPORTED = grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("request_", "code", "message", "field"),
    [
        ({"images": [IMAGE, BAD]}, INVALID, "images[1] is 5 bytes that are not a JPEG, PNG or WebP file", "images[1]"),
        ({"images": [pb.Image()]}, INVALID, "images[0] has neither encoded nor pixels", "images[0]"),
        ({"images": []}, INVALID, "images is empty; expected at least one image", "images"),
        ({"top_k": 0}, INVALID, "top_k is 0; expected at least 1", "top_k"),
        ({"top_k": -3}, INVALID, "top_k is -3; expected at least 1", "top_k"),
        ({"view": 9}, INVALID, "view is 9; expected VIEW_BASIC or VIEW_BLOCKS", "view"),
        ({"model": ""}, INVALID, "the request names no model, and several are served: colour, digits, plain", "model"),
        ({"model": "vgg"}, MISSING, "no model 'vgg'; there are: colour, digits, plain", ""),
        ({"version": "7"}, MISSING, "model digits has no version '7'; there are: 1, 2", ""),
        ({"version": "latest"}, MISSING, "model digits has no version 'latest'; there are: 1, 2", ""),
        (
            {"model": "plain", "view": pb.VIEW_BLOCKS},
            UNSUPPORTED,
            "model plain has no block statistics: it has no residual blocks; ask without them",
            "",
        ),
        (
            {"model": "plain", "block_scale": [1, 1, 1]},
            UNSUPPORTED,
            "model plain cannot scale its blocks: it has no residual blocks; leave block_scale out",
            "",
        ),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_status_table(
    stub: ResidualServiceStub, request_: dict[str, Any], code: grpc.StatusCode, message: str, field: str
) -> None:
    request = pb.ClassifyRequest(**{"model": "digits", "images": [IMAGE], **request_})
    with pytest.raises(grpc.RpcError) as caught:
        stub.Classify(request)
    error = caught.value
    assert isinstance(error, grpc.Call)
    assert (error.code(), error.details()) == (code, message)
    status = details(error)
    assert (status.code, status.message) == (code.value[0], message)
    if field:
        request_details = error_details_pb2.BadRequest()
        assert status.details[0].Unpack(request_details)
        assert request_details.field_violations[0].field == field


def details(error: grpc.Call) -> status_pb2.Status:
    metadata = {key: value for key, value in error.trailing_metadata() or ()}
    return status_pb2.Status.FromString(metadata["grpc-status-details-bin"])


def test_a_bad_request_hurts_no_neighbour(stub: ResidualServiceStub, test_images: npt.NDArray[np.uint8]) -> None:
    def ask(index: int) -> int | grpc.StatusCode:
        images = [BAD] if index % 3 == 0 else raw(test_images[index : index + 1])
        try:
            return stub.Classify(pb.ClassifyRequest(model="digits", images=images)).results[0].classes[0].index
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            return error.code()

    expected = stub.Classify(pb.ClassifyRequest(model="digits", images=raw(test_images[:60]), top_k=1))
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(60)))
    for index, answer in enumerate(answers):
        assert answer == (INVALID if index % 3 == 0 else expected.results[index].classes[0].index)


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
def test_a_stream_answers_every_request_by_its_id(
    stub: ResidualServiceStub, test_images: npt.NDArray[np.uint8], wishes: list[tuple[int, bool, bool]]
) -> None:
    requests = [
        pb.ClassifyRequest(
            id=str(place),
            model="digits",
            images=[BAD] if bad else raw(test_images[place : place + count]),
            view=pb.VIEW_BLOCKS if blocks else pb.VIEW_BASIC,
            top_k=1,
        )
        for place, (count, blocks, bad) in enumerate(wishes)
    ]
    answers = {response.id: response for response in stub.ClassifyStream(iter(requests))}
    assert answers.keys() == {request.id for request in requests}
    for place, (count, blocks, bad) in enumerate(wishes):
        answer = answers[str(place)]
        if bad:
            assert answer.error.code == INVALID.value[0]
            assert answer.error.message.startswith("images[0] is 5 bytes")
            assert len(answer.results) == 0
            continue
        assert not answer.HasField("error")
        assert len(answer.results) == count
        expected = stub.Classify(requests[place])
        for one, two in zip(answer.results, expected.results, strict=True):
            assert one.classes[0].index == two.classes[0].index
            assert len(one.statistics) == (4 if blocks else 0)


def test_models_are_listed_and_described(stub: ResidualServiceStub, repository: Path) -> None:
    models = stub.ListModels(pb.ListModelsRequest()).models
    assert [(model.name, model.version, model.serving.is_default) for model in models] == [
        ("colour", "1", True),
        ("digits", "1", False),
        ("digits", "2", True),
        ("plain", "1", True),
    ]
    assert [model.serving.has_blocks for model in models] == [True, True, True, False]
    assert {model.serving.provider for model in models} == {"CPUExecutionProvider"}
    assert stub.GetModel(pb.GetModelRequest(name="digits")) == models[2]
    assert stub.GetModel(pb.GetModelRequest(name="digits", version="1")) == models[1]
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetModel(pb.GetModelRequest(name="vgg"))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == MISSING


def test_health_has_a_name_for_each_model(channel: grpc.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", "resprobe.v1.ResidualService", "digits", "plain", "colour"):
        found = health.Check(health_pb2.HealthCheckRequest(service=name))
        assert found.status == health_pb2.HealthCheckResponse.SERVING, name
    with pytest.raises(grpc.RpcError):
        health.Check(health_pb2.HealthCheckRequest(service="vgg"))


def test_reflection_describes_the_services(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"resprobe.v1.ResidualService", "grpc.health.v1.Health"} <= set(database.get_services())
    file = database.FindFileContainingSymbol("resprobe.v1.ResidualService")
    assert "ClassifyStream" in {method.name for method in file.service[0].method}


def test_a_bare_onnx_file_is_served_without_statistics(
    start: Serve, repository: Path, tmp_path: Path, test_images: npt.NDArray[np.uint8]
) -> None:
    target = tmp_path / "bare" / "3"
    target.mkdir(parents=True)
    for name in ("model.onnx", "weights.bin"):
        shutil.copy(repository / "digits" / "1" / name, target)
    with start(tmp_path) as address, grpc.insecure_channel(address) as channel:
        stub = ResidualServiceStub(channel)
        model = stub.GetModel(pb.GetModelRequest())
        assert (model.name, model.version, list(model.classes)) == ("bare", "3", list("0123456789"))
        assert (model.image.height, model.image.width, model.image.channels) == (8, 8, 1)
        response = stub.Classify(pb.ClassifyRequest(images=raw(test_images[:2]), top_k=1))
        assert len(response.results) == 2
        with pytest.raises(grpc.RpcError, match=r"it comes without probe\.onnx"):
            stub.Classify(pb.ClassifyRequest(images=raw(test_images[:1]), view=pb.VIEW_BLOCKS))


def test_a_full_queue_is_refused_with_a_time_to_wait(
    start: Serve, repository: Path, test_images: npt.NDArray[np.uint8]
) -> None:
    async def drive(address: str) -> list[Any]:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = ResidualServiceStub(channel)
            request = pb.ClassifyRequest(model="digits", images=raw(test_images[:64]), view=pb.VIEW_BLOCKS)
            return await asyncio.gather(*(stub.Classify(request) for _ in range(40)), return_exceptions=True)

    with start(repository, max_queue=100, max_batch=4, threads=1) as address:
        answers = asyncio.run(drive(address))
    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert 0 < len(refused) < 40
    for error in refused:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        retry = error_details_pb2.RetryInfo()
        assert details(error).details[0].Unpack(retry)  # type: ignore[arg-type]
        assert retry.retry_delay.ToNanoseconds() > 0
    for answer in answers:
        if not isinstance(answer, grpc.aio.AioRpcError):
            assert len(answer.results) == 64


def test_a_message_over_the_limit_is_refused(start: Serve, repository: Path) -> None:
    with start(repository, max_message=1) as address, grpc.insecure_channel(address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            ResidualServiceStub(channel).Classify(pb.ClassifyRequest(images=[pb.Image(encoded=bytes(2 << 20))]))
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(ResidualServiceStub(channel).ListModels(pb.ListModelsRequest()).models) == 4


@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_best_classes_are_the_sorted_softmax(n: int, classes: int, top_k: int, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 30, (n, classes)).astype(np.float32)
    indices, probabilities = best_classes(logits, top_k)
    exact = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    assert indices.shape == probabilities.shape == (n, min(top_k, classes))
    np.testing.assert_allclose(probabilities, -np.sort(-exact, axis=1)[:, :top_k], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(np.take_along_axis(exact, indices, 1), probabilities, rtol=1e-4, atol=1e-7)


def test_stacking_takes_only_what_needs_no_work() -> None:
    def pixels(height: int, width: int, channels: int, less: int = 0) -> pb.Image:
        data = bytes(range(height * width * channels - less))
        return pb.Image(pixels=pb.Pixels(height=height, width=width, channels=channels, data=data))

    wanted = Format(6, 4, 3)
    right = pixels(6, 4, 3)
    for images in ([right], [right, right]):
        found = stack(images, wanted)
        assert found is not None
        assert found.shape == (len(images), 6, 4, 3)
        assert found[-1].tobytes() == right.pixels.data
    for other in (pixels(6, 4, 1), pixels(4, 6, 3), pixels(6, 4, 3, less=1), pb.Image(encoded=b"GIF"), pb.Image()):
        assert stack([right, other], wanted) is None
