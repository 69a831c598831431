"""`--precision` of build, convert and probe: a second model, and what is refused before the work."""

import json
from pathlib import Path

import pytest
import torch
from resprobe_exporter.versions import metadata

from tests.support.commands import Run
from tests.support.exported_nets import export, make
from tests.support.nets import small_net

NORM = ["--mean", "0.3", "--std", "0.3"]
CONVERT = ["convert", "net.pt", *NORM, "--height", "8", "--width", "8"]
NEEDS_IMAGES = "--precision int8 needs training images to calibrate on: give --dataset and --data"


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, which is the working directory, with a checkpoint."""
    torch.save(small_net().state_dict(), tmp_path / "net.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_build_writes_both(net: Path, run: Run) -> None:
    code, out, error = run("exporter", "build", "--depth", "8", "--epochs", "1", "--precision", "int8", "--json")
    assert code == 0, error
    written = json.loads(out)
    assert (written["name"], written["precision"]) == ("resnet8", "float32")
    made = written["quantised"]
    assert (made["name"], made["version"], made["precision"]) == ("resnet8-int8", "1", "int8")
    known = metadata.read(Path(made["directory"])).quantization
    assert (known.source_name, known.source_version) == ("resnet8", "1")
    assert (known.calibration.image_count, known.calibration.drawn_from) == (512, 1437)
    assert known.before.accuracy == written["accuracy"]


@pytest.mark.long
def test_convert_and_probe_write_both(net: Path, run: Run) -> None:
    code, out, error = run("exporter", *CONVERT, "--name", "net", "--precision", "float16")
    assert code == 0, error
    assert [line.split(":")[0] for line in out.splitlines()] == ["models/net/1", "models/net-float16/1"]
    words = ["probe", "models/net/1/model.onnx", "--name", "again", "--precision", "float16"]
    code, out, error = run("exporter", *words)
    assert code == 0, error
    assert metadata.read(net / "models" / "again-float16" / "1").quantization.source_name == "again"
    code, out, error = run("exporter", *CONVERT, "--name", "digits", "--dataset", "digits", "--precision", "int8")
    assert code == 0, error
    assert metadata.read(net / "models" / "digits-int8" / "1").precision == "int8"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*CONVERT, "--precision", "int8"], NEEDS_IMAGES),
        (["probe", "net.onnx", *NORM, "--precision", "int8"], NEEDS_IMAGES),
        ([*CONVERT, "--precision", "int8", "--dataset", "cifar10", "--data", "."], "batches.meta.txt cannot be read"),
    ],
)
def test_it_is_said_before_the_work(net: Path, run: Run, words: list[str], message: str) -> None:
    code, out, error = run("exporter", *words)
    assert (code, out) == (1, "")
    assert message in error.splitlines()[-1]
    assert not (net / "models").exists()


def test_a_version_that_cannot_be_quantised_stays(net: Path, run: Run) -> None:
    assert run("exporter", "build", "--depth", "8", "--epochs", "0", "--name", "net-float16")[0] == 0
    wide = small_net(size=12)
    torch.save(wide.state_dict(), net / "net.pt")
    words = ["convert", "net.pt", *NORM, "--height", "12", "--width", "12", "--name", "net", "--precision", "float16"]
    code, out, error = run("exporter", *words)
    assert (code, out) == (1, "")
    assert "models/net/1 was written, but not in float16: " in error.splitlines()[-1]
    assert metadata.read(net / "models" / "net" / "1").precision == "float32"
    assert [path.name for path in (net / "models" / "net-float16").iterdir()] == ["1"]


def test_a_graph_of_tensors_is_refused_before_it_is_written(net: Path, run: Run) -> None:
    export(make(), net / "tensors.onnx")
    code, _, error = run("exporter", "probe", "tensors.onnx", "--precision", "float16")  # torch prints too
    assert code == 1
    assert error.splitlines()[-1].endswith("needs a graph that takes images: give --preprocess or --mean and --std")
    assert not list(net.glob("models/*/*"))
