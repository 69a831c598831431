"""The commands of `exporter`, as a person or a script uses them."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import Run, listening
from tests.support.datasets import write_cifar, write_digits, write_folder


def test_build_inspect_and_convert(run: Run, tmp_path: Path) -> None:
    models = str(tmp_path / "models")
    code, out, error = run("exporter", "build", "--depth", "8", "--epochs", "1", "--repository", models, "--json")
    assert code == 0
    built = json.loads(out)
    assert (built["name"], built["version"], built["blocks"]) == ("resnet8", "1", 3)
    assert built["directory"] == f"{models}/resnet8/1"
    assert "epoch 1/1  loss " in error
    assert "images/s" in error
    assert run("exporter", "build", "--depth", "8", "--epochs", "0", "--repository", models)[1].startswith(
        f"{models}/resnet8/2: 3 residual blocks, accuracy 0."
    )
    code, out, _ = run("exporter", "inspect", built["directory"], "--dataset", "digits")
    assert code == 0
    assert "stage2.block0 pad      32×4×4" in out
    assert f"measured now: accuracy {built['accuracy']:.4f} on 360 images" in out
    found = json.loads(run("exporter", "inspect", built["directory"], "--json")[1])
    newest = json.loads(run("exporter", "inspect", f"{models}/resnet8", "--json")[1])
    assert (found["version"], newest["version"]) == ("1", "2")
    assert [block["shortcut"] for block in found["blocks"]] == ["identity", "pad", "pad"]
    assert found["blocks"][0]["measured_std"] is None
    assert run("exporter", "inspect", str(tmp_path))[0] == 1
    graph = f"{built['directory']}/model.onnx"
    probed = run("exporter", "probe", graph, "--repository", models, "--dataset", "digits", "--json")[1]
    assert {**json.loads(probed), "seconds": 0} == {
        **built,
        "name": "model",
        "directory": f"{models}/model/1",
        "parameters": json.loads(probed)["parameters"],
        "training_seconds": 0.0,
        "seconds": 0,
    }


def test_build_from_files(run: Run, tmp_path: Path) -> None:
    write_folder(tmp_path / "pictures", {"cat": 6, "dog": 6})
    arguments = ["--depth", "8", "--epochs", "1", "--repository", str(tmp_path / "models"), "--json"]
    folder = ["--dataset", "folder", "--data", str(tmp_path / "pictures"), "--image-size", "9", "--family", "plain"]
    code, out, _ = run("exporter", "build", *arguments, *folder, "--name", "pets")
    assert code == 0
    assert json.loads(out)["blocks"] == 0
    write_cifar(tmp_path / "cifar", records=10)
    cifar = ["--dataset", "cifar10", "--data", str(tmp_path / "cifar"), "--family", "preact", "--shortcut", "C"]
    code, out, _ = run("exporter", "build", *arguments, *cifar)
    assert code == 0
    assert json.loads(out)["name"] == "preact8"


@pytest.mark.long
def test_a_net_for_imagenet_learns_small_pictures_of_a_folder(run: Run, tmp_path: Path) -> None:
    write_digits(tmp_path / "pictures", 60)
    folder = ["--dataset", "folder", "--data", str(tmp_path / "pictures"), "--size", "32"]
    models = ["--repository", str(tmp_path / "models"), "--epochs", "10", "--json"]
    code, out, error = run("exporter", "build", "--net", "resnet18", *folder, *models)
    assert code == 0, error
    built = json.loads(out)
    assert (built["name"], built["blocks"]) == ("resnet18", 8)
    assert built["parameters"] == 11_689_512 - 990 * 513  # ten classes instead of 1,000
    assert built["accuracy"] > 0.6  # mirrored digits, of which few are here
    code, out, _ = run("exporter", "inspect", built["directory"])
    assert "depth 18, 11,181,642 parameters, 37 ×10⁶ multiply-adds, 8 residual blocks" in out
    assert "stage4.block1 identity   512×1×1" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build"], "give --depth N for a net for CIFAR, or --net for one for ImageNet"),
        (["build", "--net", "resnet50", "--depth", "56"], "--net resnet50 has depth 50, and --depth says 56"),
        (["build", "--depth", "20", "--groups", "32"], "--groups 32 needs --net, for example --net resnet50"),
        (["build", "--net", "resnet18", "--groups", "2"], "2 groups of 64 channels: basic blocks have 1 of 64"),
        (["build", "--net", "resnet50", "--family", "plain"], "plain nets have basic blocks, and resnet50 bottlenecks"),
        (["build", "--depth", "21"], "depth 21 is not 6n+2; the nearest that are: 20 and 26"),
        (["build", "--depth", "8", "--mirror", "--no-mirror"], "--mirror and --no-mirror contradict each other"),
        (["convert", "x.pt"], "give --preprocess imagenet, or --mean and --std"),
        (["build", "--depth", "8", "--epochs", "-1"], "--epochs -1: expected 0 or more"),
        (["build", "--depth", "8", "--dataset", "cifar10"], "--dataset cifar10 needs --data DIR"),
        (["build", "--depth", "8", "--name", "../x"], "model name '../x': expected letters"),
        (["build", "--depth", "8", "--dataset", "folder", "--data", ".", "--image-size", "0"], "--image-size 0"),
        (
            ["convert", "x.pt", "--depth", "8", "--mean", "0", "--std", "1", "1", "1"],
            "--mean has 1 values and --std 3",
        ),
        (["convert", "x.pt", "--depth", "8", "--mean", "0", "0", "0", "--std", "1", "0", "1"], "--std 0.0: expected"),
        (["convert", "x.pt", "--depth", "8", "--mean", "0", "0", "0", "--std", "1", "1", "1"], "x.pt cannot be read"),
        (["study", "--depths", "9"], "depth 9 is not 6n+2"),
        (["study", "--checkpoints", "x.pt"], "--checkpoints needs --mean and --std"),
        (["probe", "x.onnx"], "x.onnx cannot be read: No such file or directory"),
        (["probe", "x.onnx", "--mean", "0"], "--mean and --std must be given together"),
        (["inspect", "nowhere"], "nowhere/model.json cannot be read: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_exporter_refuses(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, error = run("exporter", *arguments)
    assert (code, out) == (1, "")
    assert error.splitlines()[-1].startswith("exporter: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_during_a_build_leaves_nothing(tmp_path: Path) -> None:
    command = listening("resprobe_exporter", "build", "--depth", "8", "--epochs", "500")
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 1/"):
                break
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "exporter: interrupted"
    assert list(tmp_path.iterdir()) == []
