"""Classification over a real channel: classes, block statistics, and streams."""

import shutil
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.execution.outputs import best_classes
from resprobe_server.images.format import Format
from resprobe_server.services.resprobe_v1.messages import stack

from tests.support.calls import png, raw
from tests.support.servers import Serve


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
    assert (response.HasField("precision"), response.precision) == (True, "float32")
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


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
def test_a_stream_answers_every_request_by_its_id(
    stub: ResidualServiceStub, test_images: npt.NDArray[np.uint8], wishes: list[tuple[int, bool, bool]]
) -> None:
    requests = [
        pb.ClassifyRequest(
            id=str(place),
            model="digits",
            images=[pb.Image(encoded=b"hello")] if bad else raw(test_images[place : place + count]),
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
            assert answer.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
            assert answer.error.message.startswith("images[0] is 5 bytes")
            assert len(answer.results) == 0
            continue
        assert not answer.HasField("error")
        assert len(answer.results) == count
        expected = stub.Classify(requests[place])
        for one, two in zip(answer.results, expected.results, strict=True):
            assert one.classes[0].index == two.classes[0].index
            assert len(one.statistics) == (4 if blocks else 0)


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
