"""A version whose files differ from the published ones does not load, and the reason names the file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server.models.repository import is_number, scan

from tests.support.servers import Serve


def shuffle(directory: Path) -> None:
    weights = np.fromfile(directory / "weights.bin", np.float32)
    largest = np.sort(np.abs(weights))[-1]
    weights[:200] = np.random.default_rng(0).permutation(weights[:200]).clip(-largest, largest)
    weights.tofile(directory / "weights.bin")


def edit(**changes: Any) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        path = directory / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def grow(directory: Path) -> None:
    for name in ("model.onnx", "probe.onnx", "lesion.onnx", "lesion_probe.onnx", "inspect.onnx"):
        path = directory / name
        path.write_bytes(path.read_bytes() + b"\xc2\x3e\x01x")  # a field that no reader of ONNX knows


def undescribed(directory: Path) -> None:
    (directory / "model.json").unlink()


UNFIT: dict[str, tuple[Callable[[Path], None], str]] = {
    "shuffled weights": (shuffle, "weights.bin is not the file that was published: its SHA-256 begins with"),
    "another graph": (grow, "inspect.onnx is not the file that was published"),
    "no classes": (edit(classes=[]), "model.onnx returns logits [32, 10]; its description says [32, 0]"),
    "too few classes": (edit(classes=["a", "b"]), "its description says [32, 2]"),
    "no statistics": (edit(statistics=[]), "probe.onnx is there, but model.json names no statistics"),
    "no blocks": (edit(blocks=[]), "probe.onnx is there, but model.json names no blocks"),
    "other images": (edit(image={"height": 9, "width": 8, "channels": 1}), "its description says [9, 8, 1]"),
    "no description": (undescribed, "without model.json, which names blocks and statistics"),
}


@pytest.mark.parametrize(("damage", "reason"), UNFIT.values(), ids=UNFIT)
def test_what_was_not_published_so_is_not_served(
    start: Serve, repository: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    shutil.copytree(repository / "plain", tmp_path / "plain")
    shutil.copytree(repository / "digits" / "1", tmp_path / "digits" / "1")
    damage(tmp_path / "digits" / "1")
    with start(tmp_path) as address, grpc.insecure_channel(address) as channel:
        found = GRPCInferenceServiceStub(channel).RepositoryIndex(pb.RepositoryIndexRequest()).models
    (entry,) = [one for one in found if one.name == "digits"]
    assert entry.state == "UNAVAILABLE"
    assert reason in entry.reason


def test_a_version_without_digests_is_served(start: Serve, repository: Path, tmp_path: Path) -> None:
    directory = tmp_path / "digits" / "1"
    shutil.copytree(repository / "digits" / "1", directory)
    edit(provenance={"source": "by hand"})(directory)
    shuffle(directory)
    with start(tmp_path) as address, grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ModelReady(pb.ModelReadyRequest(name="digits")).ready


def test_directories_are_versions_only_where_they_are_named_as_numbers(tmp_path: Path) -> None:
    for name in ("1", "01", "1" * 250, "١", "+1", " 2", "10"):  # noqa: RUF001
        (tmp_path / "net" / name).mkdir(parents=True)
        (tmp_path / "net" / name / "model.onnx").touch()
    assert [(one.number, one.directory.name) for one in scan(tmp_path)] == [(1, "1"), (10, "10")]
    assert not is_number("9" * 5000)
