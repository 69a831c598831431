"""A candidate may be made of anything that has a graph and knows what it computes, such as an existing version."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from resprobe_exporter.errors import CheckFailed
from resprobe_exporter.graph.block_info import describe_blocks
from resprobe_exporter.graph.residual import find
from resprobe_exporter.nets.info import NetInfo
from resprobe_exporter.verification.expected_onnx import OnnxOracle
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.verification.reference import FINE, check_images
from resprobe_exporter.versions import metadata
from resprobe_exporter.versions.candidate import Candidate, Origin
from resprobe_exporter.versions.writer import write_version


@pytest.fixture
def candidate(repository: Path) -> Candidate:
    directory = repository / "digits" / "1"
    source, lean = metadata.read(directory), ir.load(directory / "model.onnx")
    blocks = describe_blocks(lean.graph, list(find(lean.graph)))
    images = check_images((8, 8, 1), None)
    outputs = Graph(directory / "model.onnx").run(images)
    oracle = OnnxOracle("digits 1", [block.name for block in blocks], [1] * len(blocks), images, outputs, FINE)
    info = NetInfo(source.family, source.depth, source.parameter_count, (8, 8, 1), blocks)
    return Candidate(lean, info, oracle, source.classes, Origin("digits 1"))


def test_an_existing_version_gives_a_new_one(candidate: Candidate, repository: Path, tmp_path: Path) -> None:
    written = write_version(candidate, tmp_path, "copy")
    images = check_images((8, 8, 1), None)
    for file in ("model.onnx", "probe.onnx"):
        found, expected = (Graph(one / file).run(images) for one in (written.directory, repository / "digits" / "1"))
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)
    assert (written.directory / "weights.bin").stat().st_size > 200_000
    assert [block.name for block in written.description.blocks] == ["stage1.block0", "stage2.block0", "stage3.block0"]


def test_graphs_that_compute_something_else_than_the_oracle_leave_nothing(candidate: Candidate, tmp_path: Path) -> None:
    assert isinstance(candidate.oracle, OnnxOracle)
    outputs = {name: array.astype(np.float32) * 1.01 for name, array in candidate.oracle.outputs.items()}
    wrong = replace(candidate, oracle=replace(candidate.oracle, outputs=outputs))
    with pytest.raises(CheckFailed, match=r"logits of model\.onnx and digits 1 differ"):
        write_version(wrong, tmp_path, "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_net_that_mixes_images_leaves_nothing(candidate: Candidate, tmp_path: Path) -> None:
    graph = candidate.lean.graph
    tape = ir.tape.Tape(graph)
    logits = graph.outputs[0]
    mean = tape.op("ReduceMean", [logits, tape.initializer(ir.tensor(np.array([0]), name="rows"))])
    mixed = tape.op("Sub", [logits, mean])
    mixed.shape, mixed.type = logits.shape, logits.type
    logits.name, mixed.name = "unmixed", "logits"
    graph.outputs[0] = mixed
    with pytest.raises(CheckFailed, match="logits of one image depends on the others that run with it"):
        write_version(candidate, tmp_path, "mixed")
    assert list(tmp_path.iterdir()) == []
