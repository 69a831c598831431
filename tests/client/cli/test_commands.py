"""The commands `resprobe` and `exporter`, as a person or a script uses them."""

import json
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import resprobe
from PIL import Image
from resprobe.cli import app
from resprobe.cli.app import EXTRAS

from tests.support.commands import COMMANDS, Run
from tests.support.datasets import write_cifar, write_folder


@pytest.fixture
def picture(tmp_path: Path, test_images: npt.NDArray[np.uint8]) -> Path:
    path = tmp_path / "digit.png"
    Image.fromarray(test_images[0, ..., 0]).save(path)
    return path


@pytest.mark.parametrize("prog", COMMANDS)
def test_every_command_has_a_version(run: Run, prog: str) -> None:
    assert run(prog, "--version") == (0, f"{prog} {resprobe.__version__}\n", "")


@pytest.mark.parametrize("prog", COMMANDS)
def test_every_command_has_help_with_examples(run: Run, prog: str) -> None:
    code, out, _ = run(prog, "--help")
    assert code == 0
    assert "Examples:" in out
    assert "(default: None)" not in out
    assert "(default: '')" not in out
    assert f"\n  {prog} " in out
    for name in COMMANDS[prog][1]:
        assert name in out
        code, text, _ = run(prog, name, "--help")
        assert code == 0
        assert f"\n  {prog} {name} " in text
        for line in text.splitlines():
            assert not line.strip("│ ").startswith("(default"), f"an option without help: {text}"
        assert not re.search(r"\(default: *(None|False|''|\"\")? *\)", text)
        if prog == "resprobe" and name != "report":
            own, _, connection = text.partition("-h, --help")[2].partition("connection options")
            assert "--json" in own
            assert "--address" in connection
            assert "--address" not in own


@pytest.mark.parametrize(
    "arguments",
    [
        ("resprobe",),
        ("resprobe", "frob"),
        ("resprobe", "models", "--frob"),
        ("exporter", "build"),
        ("exporter", "build", "--depth", "x"),
    ],
    ids=str,
)
def test_a_wrong_command_line_exits_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments)[0] == 2


def test_models(run: Run, address: str) -> None:
    code, out, _ = run("resprobe", "models", "--address", address)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [
        ["colour", "1*"],
        ["digits", "1"],
        ["digits", "2*"],
        ["plain", "1*"],
    ]
    models = json.loads(run("resprobe", "models", "--address", address, "--json")[1])
    assert models[2]["blocks"] == ["stage1.block0", "stage2.block0", "stage3.block0"]
    assert models[2]["default"]


def test_classify(run: Run, address: str, picture: Path) -> None:
    code, out, _ = run("resprobe", "classify", str(picture), str(picture), "--address", address, "--model", "digits")
    assert code == 0
    assert out.count("digit.png") == 2
    text = run(
        "resprobe", "classify", str(picture), "--address", address, "--model", "digits", "--top-k", "99", "--json"
    )[1]
    (found,) = json.loads(text)
    long = run("resprobe", "classify", str(picture), "--address", address, "--model", "digits", "--top-k", "99")[1]
    assert len(long.splitlines()) == 2 + 10  # a heading, and a row for each class
    assert found["image"] == str(picture)
    assert len(found["classes"]) == 10
    assert found["classes"][0]["label"] in out


def test_blocks_of_a_picture(run: Run, address: str, picture: Path, tmp_path: Path) -> None:
    arguments = ["blocks", str(picture), "--address", address, "--model", "digits"]
    code, out, _ = run("resprobe", *arguments, "--plot", str(tmp_path / "blocks.svg"))
    assert code == 0
    assert "stage2.block0" in out
    assert (tmp_path / "blocks.svg").read_text().lstrip().startswith("<?xml")
    found = json.loads(run("resprobe", *arguments, "--json")[1])
    assert found["blocks"] == ["stage1.block0", "stage2.block0", "stage3.block0"]
    ratio = found["images"][0]["ratio"]
    assert f"{ratio[1]:.3f}" in out


def test_blocks_of_a_data_set(run: Run, address: str, tmp_path: Path) -> None:
    path = tmp_path / "stats.parquet"
    arguments = ["blocks", "--dataset", "digits", "--limit", "300", "--address", address, "--model", "digits"]
    code, out, _ = run("resprobe", *arguments, "--out", str(path), "--plot", str(tmp_path / "blocks.png"))
    assert code == 0
    assert "on 300 images of digits: accuracy 0." in out
    summary = json.loads(run("resprobe", *arguments, "--json")[1])
    table = pq.read_table(path)
    assert table.num_rows == summary["images"] == 300
    metadata = {key.decode(): json.loads(value) for key, value in table.schema.metadata.items()}
    model = metadata["model"]
    assert [block["name"] for block in model["blocks"]] == ["stage1.block0", "stage2.block0", "stage3.block0"]
    assert (model["name"], model["version"], metadata["dataset"]) == ("digits", "2", "digits")
    assert model["classes"] == list("0123456789")
    columns = table.to_pydict()
    assert columns["index"] == list(range(300))
    assert set(columns["file"]) == {None}
    correct = np.mean(np.array(columns["label"]) == np.array(columns["predicted"]))
    assert summary["accuracy"] == pytest.approx(correct)
    ratio = np.array(columns["ratio"])
    assert ratio.shape == (300, 3)
    assert summary["blocks"][2]["ratio"]["mean"] == pytest.approx(ratio[:, 2].mean(), rel=1e-4)
    assert (tmp_path / "blocks.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["blocks.png", "stats.parquet"]


def test_blocks_of_a_folder(run: Run, address: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "pictures", {"class3": 2, "class1": 1})
    path = tmp_path / "stats.parquet"
    arguments = ["blocks", "--dataset", "folder", "--data", str(tmp_path / "pictures"), "--out", str(path)]
    assert run("resprobe", *arguments, "--address", address, "--model", "colour")[0] == 0
    columns = pq.read_table(path).to_pydict()
    assert [Path(file).name for file in columns["file"]] == ["0.png", "0.png", "1.png"]
    assert columns["label"] == [1, 3, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify"], "no images were given; see resprobe classify --help"),
        (["classify", "/nowhere.png"], "/nowhere.png cannot be read: No such file or directory"),
        (["classify", "{picture}", "--model", "vgg"], "no model 'vgg'; there are: colour, digits, plain"),
        (["blocks"], "expected either picture files or --dataset; see resprobe blocks --help"),
        (["blocks", "{picture}", "--dataset", "digits"], "expected either picture files or --dataset"),
        (["blocks", "{picture}", "--out", "x.parquet"], "--out needs --dataset"),
        (["blocks", "{picture}", "--model", "digits", "--plot", "x.pdf"], "x.pdf: a plot is written as .svg or .png"),
        (["blocks", "{picture}", "--model", "digits", "--plot", "/nowhere/x.svg"], "/nowhere is not a directory"),
        (["blocks", "{picture}", "--model", "plain"], "model plain has no block statistics"),
        (["blocks", "--dataset", "digits", "--limit", "0"], "--limit 0: expected 1 or more"),
        (["lesions", "--dataset", "digits", "--limit", "0"], "--limit 0: expected 1 or more"),
        (["lesions", "--dataset", "digits", "--plot", "x.pdf"], "x.pdf: a plot is written as .svg or .png"),
        (["lesions", "--dataset", "digits", "--model", "plain"], "model plain is served without a graph that can"),
        (["blocks", "--dataset", "cifar10", "--model", "digits"], "--dataset cifar10 needs --data DIR"),
        (["blocks", "--dataset", "digits", "--model", "digits", "--out", "/nowhere/x.parquet"], "cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_line_and_exit_1(
    run: Run, address: str, picture: Path, arguments: list[str], message: str
) -> None:
    code, out, error = run("resprobe", *(part.format(picture=picture) for part in arguments), "--address", address)
    assert (code, out) == (1, "")
    assert error.startswith("resprobe: ")
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_sweep_that_fails_leaves_no_file(run: Run, address: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "pictures", {"class3": 2, "class1": 1})
    (tmp_path / "pictures" / "class1" / "0.png").write_text("no picture")
    path = tmp_path / "stats.parquet"
    arguments = ["blocks", "--dataset", "folder", "--data", str(tmp_path / "pictures"), "--out", str(path)]
    code, _, error = run("resprobe", *arguments, "--address", address, "--model", "colour")
    assert code == 1
    assert "0.png is 10 bytes that are not a JPEG" in error
    assert [one.name for one in tmp_path.iterdir()] == ["pictures"]


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "import sys; sys.argv = ['resprobe', 'blocks', '--help']; from resprobe.__main__ import main; main()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_address_can_come_from_the_environment(address: str) -> None:
    code = "import sys; sys.argv = ['resprobe', 'models', '--json']; from resprobe.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={"RESPROBE_ADDRESS": address}, check=True
    )
    assert len(json.loads(done.stdout)) == 4


@pytest.mark.parametrize(("module", "extra"), EXTRAS.items())
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, extra: str
) -> None:
    class Broken:
        """A command.

        Examples:
          one
        """

        def run(self) -> None:
            raise ModuleNotFoundError(f"No module named '{module}'", name=f"{module}.part")

    monkeypatch.setattr(app, "_parse", lambda *_: Broken())
    with pytest.raises(SystemExit) as stop:
        app.main("prog", "", (Broken,), [])
    assert stop.value.code == 1
    assert capsys.readouterr().err == f"prog: this needs the package {module}.part: pip install 'resprobe[{extra}]'\n"


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "--depth", "21"], "depth 21 is not 6n+2; the nearest that are: 20 and 26"),
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
        (["probe", "x.onnx", "--mean", "0"], "--mean and --std go together"),
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
    command = [sys.executable, "-m", "resprobe_exporter", "build", "--depth", "8", "--epochs", "500"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs do not hear it
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heard) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 1/"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "exporter: interrupted"
    assert list(tmp_path.iterdir()) == []
