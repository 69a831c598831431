"""Checkpoints as new versions: what was assumed is said and kept, and what contradicts the file is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from resprobe_exporter.checkpoints import reading, state_dict
from resprobe_exporter.classes.class_names import read_labels
from resprobe_exporter.errors import CheckpointError, ExporterError
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, trainer
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import convert, evaluation, metadata
from resprobe_exporter.versions.test_set import LabelledImages

from tests.support.commands import Run
from tests.support.nets import small_net

GREY = ["--mean", "0.3", "--std", "0.37", "--height", "8", "--width", "8"]
WANTED = reading.NetOptions(height=8, width=8)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt"
    torch.save({"state_dict": small_net().state_dict()}, path)
    return path


def read(path: Path, **wanted: Any) -> Architecture:
    return reading.architecture_of(state_dict.read(path), reading.NetOptions(height=8, width=8, **wanted))


@pytest.mark.parametrize(
    "wanted", [{"depth": 14}, {"shortcut": "B"}, {"channels": 3}, {"family": "preact"}], ids=lambda one: next(iter(one))
)
def test_what_contradicts_the_file_is_refused(saved: Path, wanted: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as refused:
        read(saved, **wanted)
    assert f"--{next(iter(wanted))} {next(iter(wanted.values()))}: " in str(refused.value)
    assert "holds a resnet of depth 8 with shortcut option A, for images of 1 channels" in str(refused.value)


def test_what_the_file_leaves_open_is_given(saved: Path) -> None:
    assert read(saved) == Architecture("resnet", 8, "A", 8, 8, 1, 10)
    assert read(saved, family="plain", shortcut="A", depth=8, channels=1).family == "plain"
    assert read(saved, shortcut="A-append").shortcut == "A-append"
    torch.save(small_net(shortcut="B").state_dict(), saved)
    with pytest.raises(CheckpointError, match="--family plain"):
        read(saved, family="plain")
    with pytest.raises(CheckpointError, match="--shortcut A-append"):
        read(saved, shortcut="A-append")


@pytest.fixture(scope="module")
def appending(digits: data.Data) -> ResNet:
    """A net with its zero channels after the others, trained."""
    torch.manual_seed(0)
    net = ResNet(Architecture(depth=8, shortcut="A-append-avgpool", height=8, width=8, channels=1))
    trainer.train(net, digits, trainer.Recipe(epochs=3), 0, lambda _: None)
    return net


@pytest.fixture(scope="module")
def test_set(digits: data.Data) -> LabelledImages:
    images = digits.test.images.permute(0, 2, 3, 1).contiguous().numpy()
    return LabelledImages("digits", images, digits.test.labels.numpy(), digits.classes)


def test_variants_of_option_a(
    appending: ResNet, digits: data.Data, test_set: LabelledImages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.pt"
    torch.save({"state_dict": appending.state_dict()}, path)
    preprocessing = Preprocessing(tuple(map(float, digits.mean)), tuple(map(float, digits.std)))

    def converted(shortcut: Any, name: str) -> metadata.Model:
        weights = state_dict.read(path)
        net = reading.architecture_of(weights, reading.NetOptions(shortcut=shortcut, height=8, width=8))
        return convert.convert(weights, net, preprocessing, None, test_set, tmp_path, name).description

    expected = trainer.evaluate(appending, digits.test, digits).accuracy
    right = converted("A-append-avgpool", "right")
    said = capsys.readouterr().err
    assert right.evaluation.accuracy == pytest.approx(expected, abs=0.003)
    assert right.evaluation.accuracy > 0.8
    assert [block.shortcut for block in right.blocks[1:]] == [metadata.KINDS["pad"]] * 2
    assert "suspicious" not in said
    kept = metadata.read(tmp_path / "right" / "1").provenance.converted_as
    assert kept["weights"] == "state_dict (raw)"
    assert kept["shortcut"].startswith("A-append-avgpool: averages of 2×2 positions, zero channels after the others")
    assert (kept["family"], kept["depth"]) == ("resnet", "8")
    assert f"shortcut {kept['shortcut']}" in said
    wrong = converted(None, "wrong")
    assert wrong.evaluation.accuracy < right.evaluation.accuracy - 0.1
    assert wrong.provenance.converted_as["shortcut"].startswith("A: every second position, zero channels on both sides")


def test_an_accuracy_near_chance_is_suspicious(
    saved: Path, test_set: LabelledImages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = state_dict.read(saved)
    net = reading.architecture_of(weights, WANTED)
    convert.convert(weights, net, Preprocessing((0.3,), (0.37,)), None, test_set, tmp_path, "net")
    said = capsys.readouterr().err
    assert "suspicious: an accuracy of 0." in said
    assert "near chance, 0.1 for 10 classes; check --shortcut (A-append, A-avgpool, A-append-avgpool)" in said
    assert "--mean and --std, the order of --classes" in said
    assert evaluation.suspicious_below(10) > 0.192
    assert evaluation.suspicious_below(2) > 0.5


@pytest.mark.parametrize("option", ["A", "A-append", "A-avgpool", "A-append-avgpool"])
def test_pad_shortcuts_are_what_their_names_say(option: Any) -> None:
    net = ResNet(Architecture(depth=8, shortcut=option, height=8, width=8, channels=1))
    shortcut = net.get_submodule("stage2.block0.shortcut")
    x = torch.randn(2, 16, 8, 8)
    small = torch.nn.functional.avg_pool2d(x, 2) if "avgpool" in option else x[:, :, ::2, ::2]
    zeros = torch.zeros_like(small)
    halves = zeros[:, :8], zeros[:, 8:]
    parts = (small, zeros) if "append" in option else (halves[0], small, halves[1])
    assert torch.equal(shortcut(x), torch.cat(parts, 1))


def test_convert_as_a_command(run: Run, saved: Path, tmp_path: Path) -> None:
    """Nothing is asked that the file tells; classes are counted; another kind of net needs another name."""
    root = ["--repository", str(tmp_path / "models")]
    code, out, error = run("exporter", "convert", str(saved), *GREY, *root)
    assert code == 0
    assert "models/resnet8/1" in out
    assert "net.pt is read as: weights state_dict (raw), family resnet, depth 8, shortcut A: every second" in error
    code, _, error = run("exporter", "convert", str(saved), *GREY, *root, "--classes", "a,b,c")
    assert (code, "net.pt has 10 classes, and --classes names 3" in error) == (1, True)
    code, _, error = run("exporter", "convert", str(saved), *GREY, *root, "--classes", "a,b,c,d,e,f,g,h,i,j")
    assert code == 1
    assert "resnet8/1 calls its classes '0', '1', '2' from number 0 on, and this net 'a', 'b', 'c'" in error
    assert "--name" in error
    code, _, error = run("exporter", "convert", str(saved), *GREY[:-2], "--width", "9", *root)
    assert (code, "takes images of 8×8×1, and this net images of 8×9×1" in error) == (1, True)
    torch.save(small_net(channels=3, size=32).state_dict(), saved)
    colour = ["--mean", "0.3", "0.3", "0.3", "--std", "0.3", "0.3", "0.3", *root]
    code, _, error = run("exporter", "convert", str(saved), *colour)
    assert (code, "takes images of 8×8×1, and this net images of 32×32×3" in error) == (1, True)
    code, _, error = run("exporter", "build", "--depth", "8", "--epochs", "0", *root)
    assert (code, error) == (0, error)  # digits have these classes and this size
    assert sorted(path.name for path in (tmp_path / "models" / "resnet8").iterdir()) == ["1", "2"]
    for option, divided in (("--mean", "0.485 0.456 0.406"), ("--std", "0.229 0.224 0.225")):
        other = "--std" if option == "--mean" else "--mean"
        pixels = [f"{255 * float(one)}" for one in divided.split()]
        code, _, error = run("exporter", "convert", str(saved), option, *pixels, other, "0.5", "0.5", "0.5", *root)
        assert (code, f"give {option} {divided}" in error) == (1, True)


def test_labels(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    for content in ("café\nchat\n", "\ufeffcafé\r\nchat\r\n\r\n"):
        path.write_text(content, encoding="utf-8", newline="")
        assert read_labels(str(path)) == ("café", "chat")
    path.write_bytes("café\nchat\n".encode("utf-16"))
    assert read_labels(str(path)) == ("café", "chat")
    path.write_bytes("chat\ncafé\n".encode("latin-1"))
    with pytest.raises(ExporterError, match=r"names\.txt: line 2 is not UTF-8.*iconv -f LATIN1"):
        read_labels(str(path))
    path.write_text("cat\ndog\ncat\n")
    with pytest.raises(ExporterError, match=r"label 'cat' is there twice \(1 and 3\); expected each once"):
        read_labels(str(path))
    with pytest.raises(ExporterError, match="label 'b' is there twice"):
        read_labels("a,b,b")
    with pytest.raises(ExporterError, match="expected a file with one label on each line"):
        read_labels(str(tmp_path))
    assert read_labels(",".join(f"class {place}" for place in range(400)))[-1] == "class 399"


def test_a_data_set_with_some_of_the_classes(
    saved: Path, test_set: LabelledImages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names decide: a subset in another order gives the same accuracy on its images as all classes give."""
    weights, names = state_dict.read(saved), tuple(f"digit {place}" for place in range(10))
    net = reading.architecture_of(weights, WANTED)
    rows = np.isin(test_set.labels, (3, 7))
    part = LabelledImages(
        "few", test_set.images[rows], np.where(test_set.labels[rows] == 3, 1, 0), ("digit 7", "digit 3")
    )
    with pytest.raises(ExporterError, match="--classes names none, has 10 classes, and the data set few names 2"):
        convert.convert(weights, net, Preprocessing((0.3,), (0.37,)), None, part, tmp_path, "net")
    built = convert.convert(weights, net, Preprocessing((0.3,), (0.37,)), names, part, tmp_path, "net")
    logits = Graph(built.directory / "model.onnx").run(part.images)["logits"]
    right = (logits.argmax(1) == test_set.labels[rows]).mean()
    assert built.description.evaluation.accuracy == pytest.approx(right)
