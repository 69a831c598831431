"""Loading a graph tests whether its rows are independent; requests for a graph whose rows are not share no batch."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server.config import Config
from resprobe_server.execution.providers import Provider
from resprobe_server.execution.session import Session
from resprobe_server.self_test import self_test
from resprobe_server.validation import independence, triton_config

from tests.support.served_graphs import HALF, INT64, REAL, TEXT, UINT8, node, write
from tests.support.servers import Serve

Array = npt.NDArray[Any]
POINTS, IMAGES = ["n", 3], ["n", 8, 8, 1]
TABLE, WEIGHTS = np.random.default_rng(0).standard_normal((2, 10, 4)).astype(np.float32)
MEAN = [node("ReduceMean", "x", "m", axes=[0]), node("Sub", "x m", "y")]
FLAT = [node("Reshape", "x s", "f"), node("Softmax", "f", "y", axis=1)]
FLOAT = {"x": (REAL, POINTS)}


@pytest.mark.parametrize(
    ("nodes", "inputs", "shape", "constants", "batched", "reason"),
    [
        ([node("Exp", "x", "y")], FLOAT, POINTS, {}, True, ""),
        ([node("Exp", "x", "y")], {"x": (HALF, POINTS)}, POINTS, {}, True, ""),
        ([node("Gather", "t x", "y")], {"x": (INT64, ["n"])}, ["n", 4], {"t": TABLE}, True, ""),
        ([node("Identity", "x", "y")], {"x": (TEXT, ["n"])}, ["n"], {}, True, ""),
        (FLAT, {"x": (REAL, ["n", 3, 1, 1])}, ["rows", 3], {"s": [-1, 3]}, True, ""),
        (MEAN, FLOAT, POINTS, {}, False, "a row of y is not the same alone and among 2 rows"),
        (MEAN, {"x": (REAL, [4, 3])}, [4, 3], {}, False, "a row of y is not the same alone and among 2 rows"),
        (MEAN, {"x": (INT64, POINTS)}, POINTS, {}, False, "a row of y is not the same"),
        ([node("Softmax", "x", "y", axis=0)], FLOAT, POINTS, {}, False, "a row of y is not the same"),
        ([node("CumSum", "x a", "y")], FLOAT, POINTS, {"a": 0}, False, "a row of y is not the same"),
        (
            [node("ReduceMax", "x", "y", axes=[0])],
            FLOAT,
            ["k", 3],
            {},
            False,
            "",
        ),
        (
            FLAT,
            {"x": (REAL, ["n", 3, 2, 1])},
            ["k", 3],
            {"s": [-1, 3]},
            False,
            "for 8 rows it returns y of shape [16, 3]",
        ),
        (
            [node("Reshape", "x s", "f"), node("Add", "x f", "y")],
            FLOAT,
            POINTS,
            {"s": [1, 3]},
            False,
            "of several rows, the ",
        ),
        (
            [node("Mul", "x z", "y")],
            FLOAT,
            POINTS,
            {"z": np.float32(0)},
            False,
            "all rows of what it returns are the same",
        ),
        ([node("Exp", "x", "y")], {"x": (REAL, [4, 3])}, [4, 3], {}, True, ""),
        ([node("Exp", "x", "y")], {"x": (REAL, [1, 3])}, [1, 3], {}, True, ""),
    ],
)
def test_what_shares_a_batch(
    tmp_path: Path, nodes: Any, inputs: Any, shape: Any, constants: Any, batched: bool, reason: str
) -> None:
    kind = next(iter(inputs.values()))[0]
    returned = {"y": (REAL if nodes[-1].op_type == "Gather" else kind, shape)}
    directory = write(tmp_path / "net", nodes, inputs, returned, **constants)
    examined = independence.examine(Session(directory / "model.onnx", Provider(threads=1)), (1, 8))
    assert examined.batched is batched
    assert reason in examined.reason


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clouds of points whose mean is removed, rows that are not mixed, and nets of images."""
    made = tmp_path_factory.mktemp("rows")
    for name, said in (("cloud", ""), ("said", "max_batch_size: 8"), ("whole", "max_batch_size: 0")):
        write(made / name, MEAN, FLOAT, {"y": (REAL, POINTS)})
        (made / name / "config.pbtxt").write_text(said)
    for name, said in (("alone", "0"), ("three", "3")):
        write(made / name, [node("Neg", "x", "y")], FLOAT, {"y": (REAL, POINTS)})
        (made / name / "config.pbtxt").write_text(f"max_batch_size: {said}")
    write(made / "four", [node("Neg", "x", "y")], {"x": (REAL, [4, 3])}, {"y": (REAL, [4, 3])})
    write(made / "four_mixed", MEAN, {"x": (REAL, [4, 3])}, {"y": (REAL, [4, 3])})
    image(made / "view", "n", [-1, 64])
    image(made / "view_two", "n", [-1, 32])
    image(made / "one", 1, [1, 64])
    image(made / "five", 5, [5, 64])
    image(made / "baked", "n", [1, 64])
    taken, returned = {"image": (UINT8, IMAGES)}, {"logits": (REAL, ["n", 64])}
    centre = [node("Cast", "image", "x", to=REAL), *MEAN, node("Add", "y x", "z"), node("Reshape", "z s", "logits")]
    write(made / "centred", centre, taken, returned, s=[-1, 64])
    return made


def image(model: Path, first: int | str, flat: list[int]) -> None:
    """A net of images that flattens them to a shape."""
    nodes = [
        node("Cast", "image", "x", to=REAL),
        node("Reshape", "x s", "f"),
        node("MatMul", "f w", "logits"),
    ]
    weights = np.random.default_rng(1).standard_normal((flat[1], 3)).astype(np.float32) / 100
    taken, returned = {"image": (UINT8, [first, *IMAGES[1:]])}, {"logits": (REAL, ["rows", 3])}
    write(model, nodes, taken, returned, s=flat, w=weights)


@pytest.fixture(scope="module")
def address(start: Serve, root: Path) -> Iterator[str]:
    with start(root, max_batch=8, threads=1) as where:
        yield where


@pytest.fixture(scope="module")
def stub(address: str) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(address) as channel:
        yield GRPCInferenceServiceStub(channel)


def ask(stub: GRPCInferenceServiceStub, model: str, points: Array) -> Array:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=points.shape)
    request = pb.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=[points.tobytes()])
    response = stub.ModelInfer(request)
    return np.frombuffer(response.raw_output_contents[0], np.float32).reshape(tuple(response.outputs[0].shape))


@pytest.mark.parametrize("model", ["cloud", "said", "whole"])
def test_nobody_gets_the_mean_of_others(stub: GRPCInferenceServiceStub, model: str) -> None:
    clouds = [np.full((1 + at % 5, 3), at, np.float32) + np.arange(3, dtype=np.float32) for at in range(64)]
    clouds = [cloud + np.arange(len(cloud), dtype=np.float32)[:, np.newaxis] for cloud in clouds]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda cloud: ask(stub, model, cloud), clouds))
    for cloud, answer in zip(clouds, answers, strict=True):
        np.testing.assert_allclose(answer, cloud - cloud.mean(0), atol=1e-5)


def test_the_index_says_why_requests_are_run_one_at_a_time(stub: GRPCInferenceServiceStub) -> None:
    index = {one.name: one for one in stub.RepositoryIndex(pb.RepositoryIndexRequest()).models}
    assert {one.state for one in index.values()} == {"READY"}
    assert index["cloud"].reason == (
        "requests are run one at a time: a row of y is not the same alone and among 2 rows"
    )
    assert index["said"].reason.startswith("config.pbtxt says max_batch_size: 8; requests are run one at a time: a row")
    assert index["alone"].reason.endswith("requests are run one at a time: config.pbtxt says so")
    assert index["view"].reason == ""
    assert index["centred"].reason.startswith("images are run one at a time: a row of logits is not the same alone")


@pytest.mark.parametrize(
    ("model", "most", "dims"),
    [("cloud", 0, [-1, 3]), ("alone", 0, [-1, 3]), ("three", 3, [3]), ("four", 4, [3]), ("four_mixed", 0, [4, 3])],
)
def test_the_configuration_says_what_shares_a_batch(
    stub: GRPCInferenceServiceStub, model: str, most: int, dims: list[int]
) -> None:
    config = stub.ModelConfig(pb.ModelConfigRequest(name=model)).config
    assert (config.max_batch_size, list(config.input[0].dims)) == (most, dims)


def test_batches_are_no_larger_than_the_operator_says(stub: GRPCInferenceServiceStub) -> None:
    points = np.arange(30, dtype=np.float32).reshape(10, 3)
    np.testing.assert_array_equal(ask(stub, "three", points), -points)
    (found,) = stub.ModelStatistics(pb.ModelStatisticsRequest(name="three")).model_stats
    assert {one.batch_size for one in found.batch_stats} == {1, 3}


def test_a_fixed_batch_of_independent_rows_takes_any_number(stub: GRPCInferenceServiceStub) -> None:
    for count in (1, 3, 4, 9):
        points = np.random.default_rng(count).standard_normal((count, 3)).astype(np.float32)
        np.testing.assert_array_equal(ask(stub, "four", points), -points)
    metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="four"))
    assert list(metadata.inputs[0].shape) == [-1, 3]


def test_a_fixed_batch_whose_rows_are_mixed_takes_just_that(stub: GRPCInferenceServiceStub) -> None:
    points = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    np.testing.assert_allclose(ask(stub, "four_mixed", points), points - points.mean(0), atol=1e-6)
    with pytest.raises(grpc.RpcError, match=r"input x has shape \[3, 3\]; expected \[4, 3\]"):
        ask(stub, "four_mixed", points[:3])


@pytest.mark.parametrize("model", ["view", "one", "five"])
def test_flattened_images_and_fixed_batches_are_classified(address: str, model: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), dtype=np.uint8)
    with resprobe.Client(address) as client:
        together = client.classify(images, model=model, top_k=3)
        for at, one in enumerate(images):
            alone = client.classify(one, model=model, top_k=3)
            np.testing.assert_allclose(alone.probabilities[0], together.probabilities[at], atol=1e-5)
            assert alone.labels[0] == together.labels[at]


@pytest.mark.parametrize("model", ["centred", "baked"])
def test_images_that_would_be_mixed_are_classified_one_at_a_time(address: str, model: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), dtype=np.uint8)
    with resprobe.Client(address) as client:
        together = client.classify(images, model=model, top_k=1)
        alone = [client.classify(one, model=model, top_k=1) for one in images]
    assert together.labels == [one.labels[0] for one in alone]
    np.testing.assert_array_equal(together.probabilities, np.concatenate([one.probabilities for one in alone]))
    if model == "centred":
        assert [int(one) for one in together.classes[:, 0]] == images.reshape(7, -1).argmax(1).tolist()


def test_what_returns_no_row_for_an_image_is_not_classified(address: str, stub: GRPCInferenceServiceStub) -> None:
    with (
        resprobe.Client(address) as client,
        pytest.raises(resprobe.Error, match=r"one at a time, not in batches.*for 8 rows it returns logits of shape"),
    ):
        client.classify(np.zeros((8, 8, 1), np.uint8), model="view_two")
    index = {one.name: one for one in stub.RepositoryIndex(pb.RepositoryIndexRequest()).models}
    assert "images are not classified: it runs its requests one at a time" in index["view_two"].reason


def test_the_self_test_finds_the_same(root: Path) -> None:
    found = asyncio.run(self_test(Config(root, max_batch=8, threads=1)))
    notes = {row.model: row.note for row in found}
    assert "a row of y is not the same" in notes["cloud"]
    assert "images are not classified" in notes["view_two"]
    assert [row.failure for row in found] == [""] * len(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_batch_size: 0", 0),
        ('name: "a" max_batch_size:8 platform: "onnx"', 8),
        ('# max_batch_size: 1\nmax_batch_size :\t16 # "\n', 16),
        ("name: 'max_batch_size: 3 \\' '", None),
        ('input [{ name: "x" }, {max_batch_size: 3}] parameters { key: "a" value < max_batch_size: 1 > }', None),
        ("output { dims: 1 } max_batch_size: 0x10", 16),
        ("", None),
        ("\x00\xff }} ]", None),
    ],
)
def test_the_one_field_that_is_read(tmp_path: Path, text: str, expected: int | None) -> None:
    (tmp_path / "config.pbtxt").write_text(text)
    assert triton_config.max_batch_size(tmp_path) == expected


@pytest.mark.parametrize("value", ["-1", "many", "", "1.5", "{", "[1]"])
def test_a_field_that_makes_no_sense_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "config.pbtxt").write_text(f"max_batch_size: {value}")
    with pytest.raises(triton_config.InvalidConfig, match="expected a whole number of at least 0"):
        triton_config.max_batch_size(tmp_path)
