"""Docstrings and help begin as one would say them: with a verb, or with the name of the thing."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = "client", "server", "exporter", "benchmarks", "protos"
BANNED = re.compile(r"\b[Ss]omebody\b")  # the field has a word for everyone: caller, client, operator, exporter
OPENINGS = re.compile(r"(Of|That|Whose|See|The same)\b")  # each leaves the reader to look for what is meant


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings of a file and of what it defines, those of fields among them, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for one in getattr(node, "body", ()) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str):
                yield one.lineno, one.value.value.strip()


def test_docstrings_begin_with_a_verb_or_a_noun_and_name_who_is_meant() -> None:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "_pb2" not in path.name]
    found = {path: list(docstrings(path)) for path in paths}
    assert sum(map(len, found.values())) > 1000
    assert [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path, texts in found.items()
        for line, text in texts
        if OPENINGS.match(text) or BANNED.search(text)
    ] == []
