"""A version that is cut for early exits serves only if its parts are those of its description and of its net."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.config import Config
from resprobe_server.execution.providers import Provider
from resprobe_server.models import description, exits
from resprobe_server.models.loader import Loader
from resprobe_server.models.repository import Found
from resprobe_server.scheduling.worker import Device
from resprobe_server.validation.trial import CheckFailed

from tests.support.calls import raw
from tests.support.scrape import Scrape
from tests.support.servers import Serve, free_address


def without_a_part(version: Path) -> None:
    (version / "exit.1.onnx").unlink()


def parts_in_another_order(version: Path) -> None:
    (version / "exit.1.onnx").rename(version / "other")
    (version / "exit.2.onnx").rename(version / "exit.1.onnx")
    (version / "other").rename(version / "exit.2.onnx")


def unknown_block(version: Path) -> None:
    model = json.loads((version / "model.json").read_text())
    model["exits"]["parts"][0]["block"] = "stage9.block9"
    (version / "model.json").write_text(json.dumps(model))


def blocks_in_another_order(version: Path) -> None:
    model = json.loads((version / "model.json").read_text())
    model["exits"]["parts"] = model["exits"]["parts"][::-1]
    (version / "model.json").write_text(json.dumps(model))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without_a_part, "has 3 parts for early exits; expected the files exit.0.onnx, exit.1.onnx, exit.2.onnx, and"),
        (parts_in_another_order, "exit.1.onnx returns"),
        (unknown_block, "an early exit after 'stage9.block9', which is none of its blocks"),
        (blocks_in_another_order, "in the order of the net, the last of them stage3.block1"),
    ],
)
def test_parts_that_do_not_fit(tmp_path: Path, cut: Path, spoil: Callable[[Path], None], says: str) -> None:
    version = tmp_path / "1"
    shutil.copytree(cut / "cut" / "1", version)
    spoil(version)
    with pytest.raises(CheckFailed, match=says):
        exits.open_parts(description.read(version), version, Provider(threads=1))


def test_parts_of_another_net_do_not_serve(tmp_path: Path, cut: Path) -> None:
    version = tmp_path / "cut" / "1"
    shutil.copytree(cut / "cut" / "1", version)
    graph = onnx.load(version / "exit.2.onnx", load_external_data=False)
    bias = next(one for one in graph.graph.initializer if one.name == "net.stage3.block0.conv2.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 9, bias.name))
    onnx.save(graph, version / "exit.2.onnx")
    model = json.loads((version / "model.json").read_text())
    del model["provenance"]["graphSha256"]
    (version / "model.json").write_text(json.dumps(model))
    with pytest.raises(CheckFailed, match=r"exit\.0\.onnx, exit\.1\.onnx and exit\.2\.onnx is not of the same net"):
        Loader(Config(tmp_path), Device()).load(Found("cut", 1, version, ()))


def test_images_that_left_are_counted_by_block(start: Serve, cut: Path, test_images: np.ndarray) -> None:
    where = free_address()
    with start(cut, metrics_address=where) as address, grpc.insecure_channel(address) as channel:
        ask = ResidualServiceStub(channel).Classify
        for threshold, count in ((0.01, 3), (1, 2)):
            ask(pb.ClassifyRequest(model="cut", images=raw(test_images[:count]), exit_threshold=threshold))
        ask(pb.ClassifyRequest(model="cut", images=raw(test_images[:4])))
        found = Scrape(where)
        counts = [
            found.total("resprobe_exits_total", model="cut", version="1", block=block)
            for block in ("stage2.block0", "stage2.block1", "stage3.block1")
        ]
        images = {graph: found.total("resprobe_images_total", model="cut", graph=graph) for graph in ("exit", "lean")}
    assert counts == [3, 0, 2]
    assert images == {"exit": 5, "lean": 4}
