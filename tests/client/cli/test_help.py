"""Versions and help of the three commands, and their exit code where the command line is wrong."""

import re

import pytest
import resprobe

from tests.support.commands import COMMANDS, Run


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
