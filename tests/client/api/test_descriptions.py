"""Descriptions of versions that answer: sent with the first response, and again when the version has changed."""

import json
import shutil
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
from resprobe_protos import open_inference_pb2, open_inference_pb2_grpc
from resprobe_protos import resprobe_pb2 as pb

from tests.support.clients import Connect, Scripted, scripted
from tests.support.servers import Serve

IMAGE = np.zeros((8, 8, 1), np.uint8)
STATISTICS = ["branch_l2", "shortcut_l2", "dot", "branch_mean"]


class Versions(Scripted):
    """Serves one version, whose blocks and digest a test changes.

    Attributes:
        blocks: Names of the blocks.
        digest: Digest of the description.
        sent: How often the description was sent.
    """

    def __init__(self, digest: str, *blocks: str) -> None:
        self.blocks, self.digest, self.sent = list(blocks), digest, 0

    def become(self, digest: str, *blocks: str) -> None:
        self.blocks, self.digest = list(blocks), digest

    def Classify(self, request: pb.ClassifyRequest, context: Any) -> pb.ClassifyResponse:
        response = pb.ClassifyResponse(model="net", version="1", digest=self.digest)
        result = response.results.add()
        result.classes.add(index=0, label="cat", probability=1)
        for name in STATISTICS:
            result.statistics.add(name=name, values=[1.0] * len(self.blocks))
        if request.describe and self.digest not in request.known_digests:
            self.sent += 1
            blocks = [pb.Block(name=name, channels=1, height=1, width=1) for name in self.blocks]
            serving = pb.Serving(digest=self.digest)
            response.description.CopyFrom(
                pb.Model(name="net", version="1", statistics=STATISTICS, blocks=blocks, serving=serving)
            )
        return response


class Undescribed(Versions):
    """Serves a version, and knows no field that asks for its description."""

    def Classify(self, request: pb.ClassifyRequest, context: Any) -> pb.ClassifyResponse:
        request.describe = False
        return super().Classify(request, context)


def names(client: resprobe.Client) -> list[str]:
    return client.classify(IMAGE, blocks=True).blocks.names


def test_a_description_is_sent_once(connect: Connect) -> None:
    versions = Versions("one", "a", "b")
    with scripted(versions) as address, connect(address) as client:
        for _ in range(3):
            assert names(client) == ["a", "b"]
        assert len(list(client.stream([IMAGE] * 3, blocks=True))) == 3
        assert client.classify(IMAGE).labels == ["cat"]
    assert versions.sent == 1


def test_classes_need_no_description(connect: Connect) -> None:
    versions = Versions("one", "a")
    with scripted(versions) as address, connect(address) as client:
        assert client.classify(IMAGE).labels == ["cat"]
    assert versions.sent == 0


def test_a_version_that_was_loaded_again_has_its_new_blocks(connect: Connect) -> None:
    versions = Versions("one", "a", "b")
    with scripted(versions) as address, connect(address) as client:
        assert names(client) == ["a", "b"]
        versions.become("two", "c", "d")
        assert names(client) == ["c", "d"]
        versions.become("three", "e")
        assert names(client) == ["e"]
        versions.become("one", "a", "b")
        assert names(client) == ["a", "b"]
    assert versions.sent == 3


def test_statistics_without_a_description_are_refused(connect: Connect) -> None:
    with scripted(Undescribed("one", "a")) as address, connect(address) as client:
        with pytest.raises(resprobe.ServerError, match=r"model net version 1 without its description"):
            names(client)
        assert client.classify(IMAGE).labels == ["cat"]


def test_few_descriptions_are_kept(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resprobe._base.DESCRIPTIONS", 2)
    versions = Versions("0", "a")
    with scripted(versions) as address, connect(address) as client:
        for digest in ("0", "1", "2", "2", "1", "0"):  # the last one was forgotten
            versions.become(digest, f"block{digest}")
            assert names(client) == [f"block{digest}"]
    assert versions.sent == 4


def test_a_real_server_loads_a_version_again(
    start: Serve, repository: Path, tmp_path: Path, connect: Connect, test_images: Any
) -> None:
    target = tmp_path / "digits" / "1"
    shutil.copytree(repository / "digits" / "1", target)
    with start(tmp_path, mode="explicit") as address, grpc.insecure_channel(address) as channel:
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        load = open_inference_pb2.RepositoryModelLoadRequest(model_name="digits")
        stub.RepositoryModelLoad(load)
        with connect(address) as client:
            before = client.classify(test_images[:2], blocks=True)
            description = json.loads((target / "model.json").read_text())
            for block in description["blocks"]:
                block["name"] = f"new {block['name']}"
            (target / "model.json").write_text(json.dumps(description))
            stub.RepositoryModelLoad(load)
            after = client.classify(test_images[:2], blocks=True)
    assert before.blocks.names == ["stage1.block0", "stage2.block0", "stage3.block0"]
    assert after.blocks.names == [f"new {name}" for name in before.blocks.names]
    np.testing.assert_array_equal(after.blocks.ratio, before.blocks.ratio)
