"""Writing a version: checked before it can be seen, whole or not at all, its weights on disk once."""

import errno
import hashlib
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from resprobe_exporter.errors import CheckFailed, ExporterError
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.verification import verify
from resprobe_exporter.verification.expected_torch import TorchOracle
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import metadata, repository
from resprobe_exporter.versions.evaluation import measure

from tests.support.nets import publish_net, small_net

GRAPHS = ("model.onnx", "probe.onnx", "lesion.onnx", "lesion_probe.onnx", "inspect.onnx")


def test_a_version_holds_all_graphs_and_its_weights_once(tmp_path: Path) -> None:
    net = small_net(depth=14)
    directory = publish_net(net, tmp_path, "net")
    assert directory == tmp_path / "net" / "1"
    sizes = {path.name: path.stat().st_size for path in directory.iterdir()}
    assert sizes.keys() == {*GRAPHS, "weights.bin", "model.json"}
    weights = 4 * sum(p.numel() for name, p in net.named_parameters() if "bn" not in name and name != "linear.bias")
    assert weights < sizes["weights.bin"] < weights + 40_000  # and biases of the folded batch norms
    assert sum(sizes[name] for name in GRAPHS) < sizes["weights.bin"] / 2


def test_the_lean_graph_is_plain_onnx_with_the_contracts_names(tmp_path: Path) -> None:
    directory = publish_net(small_net(), tmp_path, "net")
    session = onnxruntime.InferenceSession(directory / "model.onnx", providers=["CPUExecutionProvider"])
    (image,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape[1:]) == ("image", "tensor(uint8)", [8, 8, 1])
    assert (logits.name, logits.type, logits.shape[1:]) == ("logits", "tensor(float)", [10])
    assert {entry.domain for entry in onnx.load(directory / "probe.onnx").opset_import} == {""}
    for count in (1, 2, 33):
        assert session.run(None, {"image": np.zeros((count, 8, 8, 1), np.uint8)})[0].shape == (count, 10)


def test_the_description_says_everything(repository: Path) -> None:
    directory = repository / "digits" / "1"
    model = metadata.read(directory)
    assert (model.name, model.version, model.family, model.depth) == ("digits", "1", "resnet", 8)
    assert (model.image.height, model.image.width, model.image.channels) == (8, 8, 1)
    assert list(model.classes) == list("0123456789")
    assert list(model.statistics) == ["branch_l2", "shortcut_l2", "dot", "branch_mean"]
    assert model.evaluation.dataset == "digits"
    assert 0.5 < model.evaluation.accuracy <= 1
    assert model.evaluation.image_count == 360
    assert (model.provenance.source, model.provenance.seed, model.provenance.epochs) == ("trained here", 0, 2)
    assert model.provenance.packages["torch"].startswith("2.")
    digest = hashlib.sha256((directory / "weights.bin").read_bytes()).hexdigest()
    assert model.provenance.weights_sha256 == digest
    names = {output for node in onnx.load(directory / "model.onnx").graph.node for output in node.output}
    for block in model.blocks:
        assert {block.branch_tensor, block.shortcut_tensor, block.sum_tensor} <= names
        assert block.response_std > 0
        ratio = block.baseline["ratio"]
        assert list(ratio.quantiles) == sorted(ratio.quantiles)
        assert ratio.quantiles[0] < ratio.mean < ratio.quantiles[-1]
    assert [block.name for block in model.blocks] == ["stage1.block0", "stage2.block0", "stage3.block0"]
    assert model.blocks[1].shortcut == metadata.KINDS["pad"]
    raw = json.loads((directory / "model.json").read_text())
    assert raw["parameterCount"] == str(model.parameter_count)


def test_a_plain_net_gets_the_lean_graph_only(repository: Path) -> None:
    directory = repository / "plain" / "1"
    assert [path.name for path in directory.glob("*.onnx")] == ["model.onnx"]
    model = metadata.read(directory)
    assert list(model.blocks) == []
    assert list(model.statistics) == []


def spoil(path: Path, factor: float, operation: str) -> None:
    """Multiplies one of a graph's numbers."""
    model = ir.load(path)
    if operation == "scale":
        value = model.graph.initializers["blocks/scale"]
        assert value.const_value is not None
        array = value.const_value.numpy().copy()
        array[1, 0] *= factor
        value.const_value = ir.tensor(array, name=value.name)
    else:
        output = model.graph.outputs[0]
        node = output.producer()
        assert node is not None
        scale = ir.Value(name="spoiled", const_value=ir.tensor(np.array(factor, np.float32), name="spoiled"))
        model.graph.register_initializer(scale)
        changed = ir.node("Mul", [output, scale])
        changed.outputs[0].name, changed.outputs[0].type, changed.outputs[0].shape = (
            "changed",
            output.type,
            output.shape,
        )
        model.graph.append(changed)
        output.name, changed.outputs[0].name = "raw", "logits"
        model.graph.outputs[0] = changed.outputs[0]
    ir.save(model, path)


@pytest.mark.parametrize(
    ("file", "operation", "message"),
    [
        ("probe.onnx", "scale", r"stage2.block0: branch_l2 of image \d is [\d.]+ in probe.onnx and [\d.]+ in PyTorch"),
        (
            "model.onnx",
            "logits",
            r"logits of model.onnx and PyTorch differ: number \d of image \d is \S+ and \S+ \(rel",
        ),
        ("probe.onnx", "logits", r"logits of probe.onnx and PyTorch differ"),
    ],
)
def test_a_graph_that_computes_something_else_is_caught(
    tmp_path: Path, file: str, operation: str, message: str
) -> None:
    net = small_net()
    directory = publish_net(net, tmp_path, "net")
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    expected = TorchOracle(net, Preprocessing((0.4,), (0.3,)), images).reference(directory)
    verify.check(expected, directory)
    spoil(directory / file, 1.001, operation)
    with pytest.raises(CheckFailed, match=message):
        verify.check(expected, directory)


def test_a_net_that_overflows_is_not_published(tmp_path: Path) -> None:
    net = small_net()
    torch.nn.init.constant_(net.linear.weight, 1e38)
    with pytest.raises(CheckFailed, match="logits has numbers that are not finite"):
        publish_net(net, tmp_path, "net")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_interrupted_version_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with repository.new_version(tmp_path, "net") as draft:
            (draft.directory / "model.onnx").write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert list(tmp_path.iterdir()) == []
    with repository.new_version(tmp_path, "net"):
        pass
    with pytest.raises(error):
        write()
    assert [path.name for path in (tmp_path / "net").iterdir()] == ["1"]


def test_versions_count_up_past_gaps_and_drafts_that_are_being_written(tmp_path: Path) -> None:
    for name in ("3", "notes"):
        (tmp_path / "net" / name).mkdir(parents=True)
    with repository.new_version(tmp_path, "net") as first, repository.new_version(tmp_path, "net") as second:
        assert (first.version, first.target) == (4, tmp_path / "net" / "4")
        assert second.version == 5
        assert first.directory.is_dir()


def test_the_draft_of_a_killed_exporter_is_removed_by_the_next(tmp_path: Path) -> None:
    command = f"""
import os, signal
from pathlib import Path
from resprobe_exporter.versions import repository
with repository.new_version(Path({str(tmp_path)!r}), "net") as draft:
    (draft.directory / "weights.bin").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "net" / ".draft-1" / "weights.bin").is_file()
    with repository.new_version(tmp_path, "net") as draft:
        assert draft.version == 1
    assert [path.name for path in (tmp_path / "net").iterdir()] == ["1"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    expected = pytest.raises(ExporterError, match="No space left on device; nothing was left there")
    with expected, repository.new_version(tmp_path, "net"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not (tmp_path / "net").exists()


def test_builds_side_by_side_never_take_the_same_number(tmp_path: Path) -> None:
    def write(_: int) -> None:
        with repository.new_version(tmp_path, "net"):
            pass

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(60)))
    assert sorted(int(path.name) for path in (tmp_path / "net").iterdir()) == list(range(1, 61))


@pytest.mark.parametrize("name", ["", "../net", "a/b", ".hidden", "-x", "a b"])
def test_names_that_are_no_directory_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExporterError, match="model name"), repository.new_version(tmp_path, name):
        pass


def test_a_repository_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExporterError, match="cannot be written"), repository.new_version(tmp_path / "file", "net"):
        pass


@pytest.mark.parametrize("content", [None, "{", '{"depth": "many"}'], ids=["missing", "cut", "wrong type"])
def test_a_description_that_cannot_be_read_is_an_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    with pytest.raises(ExporterError, match=r"model\.json"):
        metadata.read(tmp_path)


def test_measuring_agrees_with_plain_numpy(repository: Path, digits: object) -> None:
    directory = repository / "colour" / "1"
    model = metadata.read(directory)
    images = np.random.default_rng(0).integers(0, 256, (70, 12, 12, 3), dtype=np.uint8)
    graph = Graph(directory / "probe.onnx")
    outputs = graph.run(images)
    labels = outputs["logits"].argmax(1)
    labels[:7] = (labels[:7] + 1) % 10
    measured = measure(graph, images, labels, [block.name for block in model.blocks], metadata.sizes(model))
    probabilities = np.exp(outputs["logits"].astype(np.float64))
    probabilities /= probabilities.sum(1, keepdims=True)
    assert measured.accuracy == 0.9
    assert measured.loss == pytest.approx(-np.log(probabilities[np.arange(70), labels]).mean(), rel=1e-5)
    assert measured.blocks is not None
    np.testing.assert_allclose(measured.blocks.ratio, outputs["blocks"][..., 0] / outputs["blocks"][..., 1], rtol=1e-4)


def test_pooled_deviation_is_over_images_too() -> None:
    class Fake:
        """Two images of one block with 4 values: [1, 1, 1, 1] and [3, 3, 3, 3]."""

        def run_batches(self, _images: object) -> object:
            logits = np.zeros((2, 2), np.float32)
            return [{"logits": logits, "blocks": np.array([[[2, 1, 0, 1]], [[6, 1, 0, 3]]], np.float32)}]

    measured = measure(Fake(), np.zeros((2, 1, 1, 1), np.uint8), np.zeros(2, int), ["one"], [4])  # type: ignore[arg-type]
    assert measured.pooled_std.tolist() == [1.0]
    assert measured.blocks is not None
    assert measured.blocks.branch_std.tolist() == [[0.0], [0.0]]
