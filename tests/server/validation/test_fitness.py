"""Versions that could answer no request are found when they are loaded, and one sentence says what is wrong."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
import resprobe
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server.config import Config
from resprobe_server.errors import StartError
from resprobe_server.models.repository import passed_over
from resprobe_server.self_test import self_test

from tests.support.served_graphs import REAL, UINT8, node, write
from tests.support.servers import Serve

IMAGE = {"image": (UINT8, ["n", 4, 4, 1])}
FLATTEN = [node("Cast", "image", "x", to=REAL), node("Reshape", "x s", "f"), node("MatMul", "f w", "logits")]
WEIGHTS: dict[str, Any] = {"s": [-1, 16], "w": np.random.default_rng(0).standard_normal((16, 5)).astype(np.float32)}


@pytest.fixture
def version(repository: Path, tmp_path: Path) -> Path:
    """A copy of `digits` 1 in a repository of its own."""
    return Path(shutil.copytree(repository / "digits" / "1", tmp_path / "models" / "digits" / "1"))


def reason(root: Path) -> str:
    """Reason of `--self-test` why the only version of a repository does not load; empty if it does."""
    try:
        rows = asyncio.run(self_test(Config(root, max_batch=4, threads=1)))
    except StartError:  # nothing loads
        return _reason_in_index(root)
    assert {row.failure for row in rows} == {""}
    return ""


def _reason_in_index(root: Path) -> str:
    """Tests it beside a version that loads."""
    write(root / "other", [node("Neg", "a", "b")], {"a": (REAL, ["n", 1])}, {"b": (REAL, ["n", 1])})
    rows = asyncio.run(self_test(Config(root, max_batch=4, threads=1)))
    (failure,) = (row.failure for row in rows if row.failure)
    return failure


def describe(version: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes model.json, and removes its digests."""
    path = version / "model.json"
    model = json.loads(path.read_text())
    del model["provenance"]["graphSha256"], model["provenance"]["weightsSha256"]
    change(model)
    path.write_text(json.dumps(model))


def said(**fields: Any) -> Callable[[Path], None]:
    return lambda version: describe(version, lambda model: model.update(fields))


def same_blocks(version: Path) -> None:
    describe(version, lambda model: model["blocks"][1].update(name=model["blocks"][0]["name"]))


def no_scale(version: Path) -> None:
    shutil.copy(version / "model.onnx", version / "lesion.onnx")
    describe(version, lambda _: None)


def other_images(version: Path) -> None:
    made = onnx.load(version / "probe.onnx", load_external_data=False)
    made.graph.input[0].name = "picture"
    for one in made.graph.node:
        one.input[:] = ["picture" if name == "image" else name for name in one.input]
    onnx.save(made, version / "probe.onnx")
    describe(version, lambda _: None)


def unpublished(version: Path) -> None:
    path = version / "model.json"
    model = json.loads(path.read_text())
    del model["provenance"]["graphSha256"]["lesion.onnx"]
    path.write_text(json.dumps(model))


def garbage(version: Path) -> None:
    (version / "model.onnx").write_bytes(b"no graph")


def nested(version: Path) -> None:
    (version / "model.onnx").unlink()
    (version / "model.onnx").mkdir()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (garbage, "model.onnx is not the file that was published"),  # before it is opened
        (
            unpublished,
            "lesion.onnx is not among the graphs that were published: inspect.onnx, lesion_probe.onnx, model.onnx, "
            "probe.onnx",
        ),
        (
            lambda version: (version / "weights.bin").unlink(),
            "weights.bin is missing; the description names its digest",
        ),
        (lambda version: (version / "probe.onnx").unlink(), "probe.onnx is missing; the description names its digest"),
        (lambda version: (version / "model.json").unlink(), "without model.json, which names blocks and statistics"),
        (lambda version: (version / "model.json").write_text("{"), "model.json is not the JSON of a resprobe.v1.Model"),
        (nested, "model.onnx is not a file"),
        (said(classes=[]), "model.onnx returns logits [4, 10]; its description says [4, 0]"),
        (said(classes=["a"]), "model.onnx returns logits [4, 10]; its description says [4, 1]"),
        (said(statistics=[]), "probe.onnx is there, but model.json names no statistics"),
        (said(statistics=["branch_l2"] * 4), "model.json names the statistic 'branch_l2' twice"),
        (said(blocks=[]), "probe.onnx is there, but model.json names no blocks"),
        (said(blocks=[{"name": "a"}]), "lesion.onnx takes block_scale [n, 3]; model.json names 1 blocks"),
        (same_blocks, "twice"),
        (no_scale, "lesion.onnx takes no input block_scale"),
        (other_images, "probe.onnx takes picture ['tensor(uint8)', 8, 8, 1]; model.onnx takes image"),
        (
            said(image={"height": 8, "width": 9, "channels": 1}),
            "takes images [8, 8, 1]; its description says [8, 9, 1]",
        ),
    ],
)
def test_what_could_not_answer_does_not_load(version: Path, damage: Callable[[Path], None], expected: str) -> None:
    damage(version)
    assert expected in reason(version.parents[1])


@pytest.mark.parametrize("change", [said(), said(statistics=["a", "b", "c", "d"])])
def test_what_fits_loads(version: Path, change: Callable[[Path], None]) -> None:
    change(version)
    assert reason(version.parents[1]) == ""


def foreign(root: Path, model: dict[str, Any] | None, output: str = "logits", **inputs: Any) -> Path:
    """A net of images that was exported elsewhere."""
    nodes = [*FLATTEN[:2], node("MatMul", "f w", output)] if not inputs else [node("MatMul", "data w", output)]
    taken = inputs or IMAGE
    directory = write(root / "net", nodes, taken, {output: (REAL, ["n", "classes"])}, **WEIGHTS)
    if model is not None:
        (directory / "model.json").write_text(json.dumps(model))
    return root


NAMED = {"image": {"height": 4, "width": 4, "channels": 1}, "classes": list("abcde")}
DATA = {"data": (REAL, ["n", 16])}


@pytest.mark.parametrize(
    ("model", "output", "inputs", "expected"),
    [
        (NAMED, "scores", {}, "model.json names 5 classes; model.onnx returns no logits [n, classes] but scores"),
        (NAMED, "logits", DATA, "model.json says images [4, 4, 1]; model.onnx takes data tensor(float)"),
        ({"classes": ["a"]}, "logits", DATA, "returns logits [4, 5]; its description says [4, 1]"),
        (NAMED, "logits", {}, ""),
        ({"depth": 20}, "logits", DATA, ""),  # as the exporter describes what takes no bytes
        (None, "scores", {}, ""),
    ],
)
def test_a_description_of_somebody_elses_net(
    tmp_path: Path, model: dict[str, Any] | None, output: str, inputs: dict[str, Any], expected: str
) -> None:
    found = reason(foreign(tmp_path, model, output, **inputs))
    assert expected in found
    assert bool(expected) is bool(found)


def test_what_no_request_can_carry_does_not_load(tmp_path: Path) -> None:
    directory = tmp_path / "net" / "1"
    directory.mkdir(parents=True)
    taken = onnx.helper.make_tensor_value_info("x", REAL, ["n", 2])
    returned = onnx.helper.make_tensor_sequence_value_info("y", REAL, ["n", 2])
    graph = onnx.helper.make_graph([node("SequenceConstruct", "x", "y")], "g", [taken], [returned])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), directory / "model.onnx")
    assert "model.onnx returns y as seq(tensor(float)), which no request or response can carry" in reason(tmp_path)


@pytest.fixture
def served(start: Serve, tmp_path: Path) -> Iterator[str]:
    """A server of two nets without model.json: one whose number of classes is not declared, and one of `scores`."""
    foreign(tmp_path, None)
    (tmp_path / "net").rename(tmp_path / "open")
    foreign(tmp_path, None, "scores")
    with start(tmp_path, max_batch=4, threads=1) as address:
        yield address


def test_classes_that_are_not_declared_are_counted(served: str) -> None:
    images = np.random.default_rng(1).integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)
    with resprobe.Client(served) as client:
        result = client.classify(images, model="open", top_k=9)
    scores = images.reshape(6, 16).astype(np.float32) @ WEIGHTS["w"]
    np.testing.assert_array_equal(result.classes[:, 0], scores.argmax(1))
    assert result.probabilities.shape == (6, 5)


def test_a_net_of_images_without_logits_is_not_classified(served: str) -> None:
    with (
        resprobe.Client(served) as client,
        pytest.raises(resprobe.StatisticsUnavailable, match="model net returns no logits, float"),
    ):
        client.classify(np.zeros((4, 4, 1), np.uint8), model="net")
    with grpc.insecure_channel(served) as channel:
        tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=[1, 4, 4, 1])
        stub = GRPCInferenceServiceStub(channel)
        request = pb.ModelInferRequest(model_name="net", inputs=[tensor], raw_input_contents=[bytes(16)])
        assert stub.ModelInfer(request).outputs[0].name == "scores"
        index = {one.name: one.reason for one in stub.RepositoryIndex(pb.RepositoryIndexRequest()).models}
    assert index == {"net": "images are not classified: it returns no logits, float [n, classes]", "open": ""}


def test_directories_that_are_passed_over_are_named(tmp_path: Path) -> None:
    for name in ("net/1", "net/01", "net/²", "net/3", "net/latest", "net/.draft-4", "flat", ".hidden/x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "net" / "1" / "model.onnx").touch()
    (tmp_path / "note.txt").touch()
    found = {path.relative_to(tmp_path).as_posix(): why for path, why in passed_over(tmp_path)}
    number = "its name is not the number of a version: 1, 2 and so on, of at most 18 digits"
    assert found == {
        "flat": "it holds no VERSION/model.onnx",
        "net/01": number,
        "net/3": "it holds no model.onnx",
        "net/latest": number,
        "net/²": number,
    }
