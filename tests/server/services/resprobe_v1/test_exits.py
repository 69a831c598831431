"""Early exit over the typed service and the Open Inference Protocol: answers are those of a plain oracle."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub

from tests.support.access import write_tokens
from tests.support.calls import raw
from tests.support.early_exits import PLACES, all_scores, expected, far_from_confidences
from tests.support.servers import Serve

Images = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def where(start: Serve, cut: Path) -> Iterator[str]:
    with start(cut, max_batch=4) as address:
        yield address


@pytest.fixture(scope="module")
def exiting(where: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(where) as channel:
        yield channel


WISHES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9), st.one_of(st.none(), st.floats(0.01, 1))), min_size=1, max_size=12
)


@given(wishes=WISHES)
@settings(max_examples=15)
def test_answers_are_those_of_the_oracle_whatever_shares_a_batch(
    where: str, cut: Path, test_images: Images, wishes: list[tuple[int, int, float | None]]
) -> None:
    scores = all_scores(cut / "cut" / "1", test_images[:50])
    wishes = [(at, count, t if t is None else far_from_confidences(scores, t)) for at, count, t in wishes]
    requests = [
        pb.ClassifyRequest(model="cut", images=raw(test_images[at : at + count]), top_k=10, exit_threshold=threshold)
        for at, count, threshold in wishes
    ]

    async def together() -> list[pb.ClassifyResponse]:
        async with grpc.aio.insecure_channel(where) as channel:
            ask = ResidualServiceStub(channel).Classify
            return await asyncio.gather(*(ask(request) for request in requests))

    for (at, count, threshold), found in zip(wishes, asyncio.run(together()), strict=True):
        parts, answers = expected(scores[:, at : at + count], 1.0 if threshold is None else threshold)
        assert len(found.results) == count
        for part, answer, result in zip(parts, answers, found.results, strict=True):
            assert result.HasField("exit_block") is (threshold is not None)
            if threshold is not None:
                assert result.exit_block == PLACES[part]
            probabilities = {one.index: one.probability for one in result.classes}
            np.testing.assert_allclose([probabilities[index] for index in range(10)], answer, atol=1e-4)


def test_a_stream_mixes_early_exits_with_whole_answers(exiting: grpc.Channel, test_images: Images) -> None:
    images = raw(test_images[:3])
    requests = [
        pb.ClassifyRequest(model="cut", images=images, id="early", exit_threshold=0.01),
        pb.ClassifyRequest(model="cut", images=images, id="whole"),
        pb.ClassifyRequest(model="cut", images=images, id="wrong", exit_threshold=2),
    ]
    found = {one.id: one for one in ResidualServiceStub(exiting).ClassifyStream(iter(requests))}
    assert [result.exit_block for result in found["early"].results] == [PLACES[0]] * 3
    assert not found["whole"].results[0].HasField("exit_block")
    assert found["wrong"].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"exit_threshold": 0}, "INVALID_ARGUMENT", "exit_threshold is 0; expected a number above 0, at most 1"),
        ({"exit_threshold": 1.5}, "INVALID_ARGUMENT", "exit_threshold is 1.5; expected"),
        ({"exit_threshold": float("nan")}, "INVALID_ARGUMENT", "exit_threshold is nan; expected"),
        ({"exit_threshold": 0.5, "view": pb.VIEW_BLOCKS}, "INVALID_ARGUMENT", "does not go together with block_scale"),
        ({"exit_threshold": 0.5, "views": [pb.VIEW_CAM]}, "INVALID_ARGUMENT", "does not go together with block_scale"),
        ({"exit_threshold": 0.5, "block_scale": [1] * 6}, "INVALID_ARGUMENT", "send a request for each"),
        (
            {"model": "whole", "exit_threshold": 0.5},
            "FAILED_PRECONDITION",
            "model whole has no early exits: it comes without exit.0.onnx; leave exit_threshold out",
        ),
    ],
)
def test_requests_that_are_refused(
    exiting: grpc.Channel, test_images: Images, fields: dict[str, object], code: str, says: str
) -> None:
    request = pb.ClassifyRequest(**{"model": "cut", "images": raw(test_images[:1]), **fields})  # type: ignore[arg-type]
    with pytest.raises(grpc.RpcError) as caught:
        ResidualServiceStub(exiting).Classify(request)
    assert caught.value.code().name == code
    assert says in str(caught.value.details())


def infer(
    channel: grpc.Channel,
    images: Images,
    outputs: Sequence[str],
    threshold: oip.InferParameter | None = None,
    model: str = "cut",
) -> oip.ModelInferResponse:
    request = oip.ModelInferRequest(model_name=model)
    for name in outputs:
        request.outputs.add(name=name)
    request.inputs.add(name="image", datatype="UINT8", shape=images.shape)
    request.raw_input_contents.append(images.tobytes())
    if threshold is not None:
        request.parameters["exit_threshold"].CopyFrom(threshold)
    found: oip.ModelInferResponse = GRPCInferenceServiceStub(channel).ModelInfer(request)
    return found


def test_over_the_open_inference_protocol(exiting: grpc.Channel, cut: Path, test_images: Images) -> None:
    images = test_images[:20]
    scores = all_scores(cut / "cut" / "1", images)
    threshold = far_from_confidences(scores, 0.3)
    parts, _ = expected(scores, threshold)
    for _ in range(2):  # the second request is planned by the first
        found = infer(exiting, images, ["exit_block", "logits"], oip.InferParameter(double_param=threshold))
        places, logits = (
            np.frombuffer(data, dtype)
            for data, dtype in zip(found.raw_output_contents, (np.int64, np.float32), strict=True)
        )
        assert places.tolist() == [PLACES[part] for part in parts]
        np.testing.assert_allclose(logits.reshape(20, 10), scores[parts, np.arange(20)], rtol=1e-3, atol=1e-3)
    whole = infer(exiting, images, [])
    np.testing.assert_allclose(
        np.frombuffer(whole.raw_output_contents[0], np.float32).reshape(20, 10), scores[-1], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    ("outputs", "parameter", "says"),
    [
        (["logits"], oip.InferParameter(string_param="0.5"), "must be a double_param above 0, at most 1"),
        (["logits"], oip.InferParameter(double_param=0.0), "exit_threshold is 0; expected"),
        (["blocks"], oip.InferParameter(double_param=0.5), "does not go together with block_scale"),
        (["exit_block"], None, "output 'exit_block' is unknown to model cut; its outputs: logits"),
        (["other"], oip.InferParameter(double_param=0.5), "its outputs: logits, exit_block"),
    ],
)
def test_wrong_requests_over_the_open_inference_protocol(
    exiting: grpc.Channel, test_images: Images, outputs: list[str], parameter: oip.InferParameter | None, says: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        infer(exiting, test_images[:1], outputs, parameter)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in str(caught.value.details())


def test_lesion_models_and_models_without_parts_say_so(exiting: grpc.Channel, test_images: Images) -> None:
    for model in ("whole", "cut.lesion"):
        with pytest.raises(grpc.RpcError) as caught:
            infer(exiting, test_images[:1], ["logits"], oip.InferParameter(double_param=0.5), model)
        assert caught.value.code().name in ("FAILED_PRECONDITION", "INVALID_ARGUMENT")


def test_no_right_to_analyse_is_needed(start: Serve, cut: Path, tmp_path: Path, test_images: Images) -> None:
    with (
        start(cut, tokens=write_tokens(tmp_path / "tokens.toml")) as address,
        grpc.insecure_channel(address) as channel,
    ):
        request = pb.ClassifyRequest(model="cut", images=raw(test_images[:1]), exit_threshold=0.01)
        token = (("authorization", "Bearer a-classifier"),)
        assert ResidualServiceStub(channel).Classify(request, metadata=token).results[0].exit_block == PLACES[0]
