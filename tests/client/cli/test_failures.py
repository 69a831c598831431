"""Commands that fail: one sentence, exit code 1, and no half files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from resprobe.cli import app
from resprobe.cli.app import EXTRAS

from tests.support.commands import Run
from tests.support.datasets import write_folder


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
    assert capsys.readouterr().err == f"prog: this needs the package {module}: pip install 'resprobe[{extra}]'\n"
