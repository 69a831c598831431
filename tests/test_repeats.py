"""What is remembered of requests that differ in the contents of their tensor only, and that it is never wrong."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from conftest import Serve
from hypothesis import given
from hypothesis import strategies as st
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server import repeats
from resprobe_server.plan import Plan

PLAN = cast(Plan, object())
SHAPE = 2, 3
Array = npt.NDArray[Any]


def request(images: Array, **fields: Any) -> pb.ModelInferRequest:
    one = pb.ModelInferRequest(raw_input_contents=[images.tobytes()], **fields)
    one.inputs.add(name="image", datatype="UINT8", shape=images.shape)
    return one


def learned(data: bytes, images: Array) -> repeats.Memory:
    memory: repeats.Memory = {}
    repeats.learn(memory, data, pb.ModelInferRequest.FromString(data), {"image": images}, PLAN)
    return memory


def array(seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, dtype=np.uint8)


@given(st.integers(0, 9), st.integers(0, 9), st.text(max_size=5), st.text(max_size=5))
def test_other_contents_are_read_from_the_same_message(first: int, second: int, model: str, output: str) -> None:
    fields = {"model_name": model, "outputs": [{"name": output}]}
    memory = learned(request(array(first), **fields).SerializeToString(), array(first))
    data = request(array(second), **fields).SerializeToString()
    found = repeats.find(memory, data)
    assert found is not None
    assert found.plan is PLAN
    assert found.inputs(data)["image"].tolist() == array(second).tolist()


@given(st.data())
def test_what_is_found_is_what_parsing_finds(data: st.DataObject) -> None:
    message = request(array(0), model_name="m").SerializeToString()
    memory = learned(message, array(0))
    other = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        other[data.draw(st.integers(0, len(other) - 1))] = data.draw(st.integers(0, 255))
    found = repeats.find(memory, bytes(other))
    if found is not None:
        parsed = pb.ModelInferRequest.FromString(bytes(other))
        assert parsed.raw_input_contents == [found.inputs(bytes(other))["image"].tobytes()]
        parsed.raw_input_contents[:] = [array(0).tobytes()]
        assert parsed.SerializeToString() == message


def test_what_is_not_learned() -> None:
    plain = request(array(0), model_name="m")
    assert learned(plain.SerializeToString(), array(0))
    named = request(array(0), model_name="m", id="7")
    assert not learned(named.SerializeToString(), array(0))
    large = np.zeros(repeats.LARGEST + 1, np.uint8)
    assert not learned(request(large, model_name="m").SerializeToString(), large)
    unknown = b"\x7a\x06" + array(0).tobytes()  # a field that nobody knows, with the same bytes
    twice = plain.SerializeToString() + unknown
    assert not learned(twice, array(0))
    moved = pb.ModelInferRequest(raw_input_contents=[array(0).tobytes()]).SerializeToString()
    plain.raw_input_contents.clear()
    assert not learned(moved + plain.SerializeToString(), array(0))  # the contents come first


def test_it_does_not_grow_without_bounds() -> None:
    memory: repeats.Memory = {}
    for number in range(2 * repeats.MOST):
        one = request(array(0), model_name=str(number))
        repeats.learn(memory, one.SerializeToString(), one, {"image": array(0)}, PLAN)
        assert len(memory) <= repeats.MOST + 1
        assert repeats.find(memory, one.SerializeToString()) is not None


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
