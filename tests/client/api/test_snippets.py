"""The Python in the documentation passes `mypy --strict`, so the types of the client are those that users write."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Lines that the overloads exist for, whatever the documentation shows.
TYPED = """
import resprobe
from resprobe import AsyncClient, Client, __version__, analysis

def ask(client: Client, path: str, either: bool) -> None:
    result = client.classify(path, blocks=True, model="resnet20/1")
    print(result.blocks.ratio, result[0].blocks.names, result[1:].blocks, [one.blocks.cosine for one in result])
    for probed in client.stream([path], blocks=True, progress=True):
        print(probed.blocks.ratio)
    print(client.classify(path)[0].label, __version__, resprobe.__all__, analysis.sweep)
    if client.health() and (maybe := client.classify(path, blocks=either, block_scale={"stage1.block0": 0})).blocks:
        print(maybe.blocks.ratio)

async def ask_too(client: AsyncClient, path: str) -> None:
    print((await client.classify(path, blocks=True)).blocks.ratio)
    async for probed in client.stream([path], blocks=True):
        print(probed.blocks.ratio)
"""
WRONG = """
import resprobe

def ask(client: resprobe.Client) -> None:
    print(client.classify("a.png").blocks.ratio)
    client.classify("a.png", layout="hwc")
    client.classify("a.png", blocks=True, no_such_option=1)
    client.no_such_method()
"""


def documents() -> Iterator[Path]:
    yield from sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def check(directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs mypy with the project's options, which are those of --strict, and its cache."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), str(directory)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=230)


@pytest.fixture
def snippets(tmp_path: Path) -> Path:
    """A directory with a file for each block of Python in the documents, each as a module of its own."""
    for document in documents():
        text = document.read_text(encoding="utf-8")
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
            name = re.sub(r"\W", "_", f"{document.relative_to(ROOT)}_{number}")
            (tmp_path / f"{name}.py").write_text(block, encoding="utf-8")
    return tmp_path


def test_snippets_are_typed(snippets: Path) -> None:
    assert list(snippets.glob("*.py"))
    (snippets / "typed.py").write_text(TYPED, encoding="utf-8")
    done = check(snippets)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mistakes_are_found(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    lines = [int(line) for line in re.findall(r"^.*wrong\.py:(\d+): error", check(tmp_path).stdout, re.MULTILINE)]
    assert sorted(set(lines)) == [5, 6, 7, 8]
