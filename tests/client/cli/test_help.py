"""Versions, help and completion of the three programs, docs/cli.md, and the exit code of a wrong command line."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import resprobe

from tests.support.commands import COMMANDS, Run

ROOT = Path(__file__).parents[3]


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
        flowing = re.sub(r"[│\s]+", " ", text)
        assert not re.search(r" --[\w-]+(?: (?:[A-Z]+|\{[\w,-]+\}))* \(default", flowing), (
            f"an option without help: {text}"
        )
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
        ("exporter", "convert"),
        ("exporter", "build", "--depth", "x"),
    ],
    ids=str,
)
def test_a_wrong_command_line_exits_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments)[0] == 2


@pytest.mark.parametrize("columns", ["40", "200"])
def test_docs_show_the_help_of_every_command(tmp_path: Path, columns: str) -> None:
    path = tmp_path / "cli.md"
    elsewhere = {"RESPROBE_ADDRESS": "elsewhere:1", "RESPROBE_CA": "/ca.pem", "COLUMNS": columns, "FORCE_COLOR": "1"}
    command = [sys.executable, str(ROOT / "docs" / "generate_cli.py"), str(path)]
    subprocess.run(command, env={**os.environ, **elsewhere}, check=True, timeout=120)
    written = path.read_text(encoding="utf-8")
    assert written == (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), "run `make docs`"
    for prog, (_, commands) in COMMANDS.items():
        assert f"\n## {prog}\n" in written
        for name in commands:
            assert f"\n### {prog} {name}\n" in written


@pytest.mark.parametrize("prog", COMMANDS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run: Run, prog: str, shell: str) -> None:
    code, out, error = run(prog, "--tyro-print-completion", shell)
    assert (code, error) == (0, "")
    for name in COMMANDS[prog][1]:
        assert name in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_accepts_the_completion(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "completion"
    assert run("resprobe", "--tyro-write-completion", "bash", str(path)) == (0, "", "")
    subprocess.run(["bash", "-n", str(path)], check=True, timeout=60)
