"""What is remembered of requests that differ in the contents of their tensor only, and that it is never wrong."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from conftest import Serve
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos import resprobe_pb2
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server import open_inference, repeats, service

SHAPE = 2, 3, 1
Array = npt.NDArray[Any]


def request(images: Array, **fields: Any) -> pb.ModelInferRequest:
    one = pb.ModelInferRequest(raw_input_contents=[images.tobytes()], **fields)
    one.inputs.add(name="image", datatype="UINT8", shape=images.shape)
    return one


def classification(image: Array, **fields: Any) -> resprobe_pb2.ClassifyRequest:
    height, width, channels = image.shape
    pixels = resprobe_pb2.Pixels(height=height, width=width, channels=channels, data=image.tobytes())
    return resprobe_pb2.ClassifyRequest(images=[resprobe_pb2.Image(pixels=pixels)], **fields)


KINDS: dict[str, Any] = {
    "infer": (request, pb.ModelInferRequest, open_inference._contents),
    "classify": (classification, resprobe_pb2.ClassifyRequest, service._contents),
}
of_both = pytest.mark.parametrize(("make", "kind", "contents"), KINDS.values(), ids=KINDS)


def learned(data: bytes, image: Array, contents: Callable[[bytes], list[bytes]]) -> repeats.Memory:
    memory: repeats.Memory = {}
    repeats.learn(memory, data, image, "known", contents)
    return memory


def array(seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, dtype=np.uint8)


@of_both
@given(st.integers(0, 9), st.integers(0, 9), st.text(max_size=5))
def test_other_contents_are_read_from_the_same_message(
    make: Any, kind: Any, contents: Any, first: int, second: int, model: str
) -> None:
    fields = {"model_name" if make is request else "model": model}
    memory = learned(make(array(first), **fields).SerializeToString(), array(first), contents)
    data = make(array(second), **fields).SerializeToString()
    found = repeats.find(memory, data)
    assert found is not None
    assert found.known == "known"
    assert found.end == len(data)
    assert found.tensor(data).tolist() == array(second).tolist()


@given(st.text(max_size=9), st.text(max_size=9), st.integers(1, 300), st.booleans())
def test_what_follows_the_pixels_is_read_each_time(first: str, second: str, top_k: int, blocks: bool) -> None:
    memory: repeats.Memory = {}
    more = {"top_k": top_k, "view": 2 if blocks else 0}
    for identifier in (first, second):  # each length of a message is learned
        data = classification(array(0), id=identifier).SerializeToString()
        repeats.learn(memory, data, array(0), "known", service._contents)
        data = classification(array(0), id=identifier, **more).SerializeToString()
        repeats.learn(memory, data, array(0), "known", service._contents)
    for identifier in (first, second):
        data = classification(array(1), id=identifier, **more).SerializeToString()
        found = repeats.find(memory, data)
        assert found is not None
        assert found.tensor(data).tolist() == array(1).tolist()
        rest = resprobe_pb2.ClassifyRequest.FromString(data[found.end :])
        assert rest == resprobe_pb2.ClassifyRequest(id=identifier, **more)  # type: ignore[arg-type]


@of_both
@given(st.data())
def test_what_is_found_is_what_parsing_finds(make: Any, kind: Any, contents: Any, data: st.DataObject) -> None:
    message = make(array(0)).SerializeToString()
    memory = learned(message, array(0), contents)
    memory[len(message) + 3] = memory[len(message)]  # as of another message with as long a beginning
    other = bytearray(message + data.draw(st.sampled_from([b"", b"\x3a\x01a"])))  # an id, or contents
    for _ in range(data.draw(st.integers(0, 4))):
        other[data.draw(st.integers(0, len(other) - 1))] = data.draw(st.integers(0, 255))
    found = repeats.find(memory, bytes(other))
    if found is not None:
        try:
            parsed = kind.FromString(bytes(other))
        except DecodeError:
            with pytest.raises(DecodeError):
                kind.FromString(bytes(other[found.end :]))
            return
        whole = kind.FromString(message.replace(array(0).tobytes(), found.tensor(bytes(other)).tobytes()))
        whole.MergeFromString(bytes(other[found.end :]))
        assert parsed == whole


def test_what_is_not_learned() -> None:
    infer, classify = open_inference._contents, service._contents
    plain = request(array(0), model_name="m")
    assert learned(plain.SerializeToString(), array(0), infer)
    large = np.zeros(repeats.LARGEST + 1, np.uint8)
    assert not learned(request(large, model_name="m").SerializeToString(), large, infer)
    unknown = b"\x7a\x06" + array(0).tobytes()  # a field that nobody knows, with the same bytes
    assert not learned(unknown + plain.SerializeToString(), array(0), infer)
    moved = pb.ModelInferRequest(raw_input_contents=[array(0).tobytes()]).SerializeToString()
    plain.raw_input_contents.clear()
    data = moved + plain.SerializeToString()  # the contents come first
    found = repeats.find(learned(data, array(0), infer), data)
    assert found is None or found.end < len(data)
    image = classification(array(0)).SerializeToString()
    for first in ({"id": "7"}, {"top_k": 1}, {"view": 2}, {"block_scale": [1.0]}):  # it would be lost
        data = resprobe_pb2.ClassifyRequest(**first).SerializeToString() + image
        assert not learned(data, array(0), classify)
    assert not learned(image + image, array(1), classify)
    two = resprobe_pb2.ClassifyRequest(images=[resprobe_pb2.Image(encoded=b"GIF")]).SerializeToString() + image
    assert not learned(two, array(0), classify)


def test_it_does_not_grow_without_bounds() -> None:
    memory: repeats.Memory = {}
    for number in range(2 * repeats.MOST):
        data = request(array(0), model_name=str(number)).SerializeToString()
        repeats.learn(memory, data, array(0), "known", open_inference._contents)
        assert len(memory) <= repeats.MOST + 1
        assert repeats.find(memory, data) is not None


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(repository / "digits" / "1", tmp_path / "digits" / "1")
    yield tmp_path


def test_repeats_are_answered_as_others_are_and_by_the_version_of_the_moment(start: Serve, root: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8, 1), dtype=np.uint8)
    with start(root) as address, grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        named = [stub.ModelInfer(request(one, id="7")).raw_output_contents[0] for one in images]
        plain = [stub.ModelInfer(request(one)) for one in images]
        assert [one.raw_output_contents[0] for one in plain] == named
        assert len(set(named)) == len(images)
        assert {one.model_version for one in plain} == {"1"}
        draft = root / "digits" / ".draft"
        shutil.copytree(root / "digits" / "1", draft)
        draft.rename(root / "digits" / "2")
        while (answer := stub.ModelInfer(request(images[0]))).model_version != "2":
            assert answer == plain[0]
        shutil.rmtree(root / "digits" / "2")
        while (answer := stub.ModelInfer(request(images[0]))).model_version != "1":
            pass
        assert answer == plain[0]


def test_repeats_pass_the_same_checks(start: Serve, root: Path) -> None:
    image = np.zeros((1, 8, 8, 1), np.uint8)
    late = request(image)
    late.parameters["timeout"].int64_param = 1  # microseconds: it passes before the device looks
    with start(root) as address, grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        for _ in range(3):
            with pytest.raises(grpc.RpcError, match="deadline passed") as caught:
                stub.ModelInfer(late)
            assert cast(grpc.Call, caught.value).code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_repeated_classifications_are_answered_as_others_are(start: Serve, root: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
    asked: list[dict[str, Any]] = [
        {"id": "first"},
        {"id": "other"},
        {"id": "ß", "top_k": 2},
        {"id": "x" * 200, "view": 2},
        {"view": 2, "top_k": 1},
        {},
    ]
    plain = [classification(image, **more) for image, more in zip(images, asked, strict=True)]
    twice = [resprobe_pb2.ClassifyRequest.FromString(2 * one.SerializeToString()) for one in plain]  # never learned
    with start(root) as address, grpc.insecure_channel(address) as channel:
        stub = ResidualServiceStub(channel)
        stub.Classify(plain[0])
        answers = [stub.Classify(one) for one in plain]
        others = [stub.Classify(one) for one in twice]
        streamed = {answer.id: answer for answer in stub.ClassifyStream(iter(plain))}
    for answer, other, more in zip(answers, others, asked, strict=True):
        assert len(other.results) == 2
        assert (answer.id, answer.model, answer.version) == (more.get("id", ""), "digits", "1")
        assert answer.provider == "CPUExecutionProvider"
        assert [len(one.classes) for one in answer.results] == [more.get("top_k", 5)]
        assert bool(answer.results[0].statistics) == ("view" in more)
        same = [[found.index for found in one.results[0].classes] for one in (answer, other)]
        assert same[0] == same[1]
        if "id" in more:
            assert streamed[answer.id].results[0].classes[0].index == same[0][0]


def test_what_stands_behind_the_contents_is_not_lost(start: Serve, root: Path) -> None:
    two, three = np.zeros((2, 8, 8, 1), np.uint8), np.zeros((3, 8, 8, 1), np.uint8)
    known, as_long = (request(images).SerializeToString() for images in (two, three))
    named = pb.ModelInferRequest(id="x" * (len(as_long) - len(known) - 2)).SerializeToString()
    assert len(known + named) == len(as_long)
    wish = pb.ModelInferRequest()
    wish.outputs.add(name="blocks")
    with start(root) as address, grpc.insecure_channel(address) as channel:
        method = "/inference.GRPCInferenceService/ModelInfer"
        infer: Any = channel.unary_unary(method, None, pb.ModelInferResponse.FromString)  # it takes bytes
        for data in (known, as_long, known, as_long):
            assert infer(data).id == ""
        assert set(infer(known + named).id) == {"x"}
        for _ in range(2):
            assert infer(known + wish.SerializeToString()).outputs[0].name == "blocks"
            assert infer(known).outputs[0].name == "logits"
