"""Docstrings, help and messages read as one would say them: a verb or a noun first, and the field's words."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = "client", "server", "exporter", "benchmarks", "protos", "examples"
OPENINGS = re.compile(
    r"(Of|That|Whose|See|The same|Takes it|Makes it|None:)\b"
)  # each leaves the reader to look for what is meant
BANNED = {  # what to write instead
    r"\b(?:[Ss]omebody|[Aa]nybody|[Ww]hoever)\b": "the field's word: client, caller, operator, author",
    r"at the (most|least)": "maximum, minimum, at most, at least",
    r"(?<![Tt]here )is no (?!longer|more|one\b)\w+": "is not a …",
    r"(?<!Returns )None: ": "If None, …",
}


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Docstrings of a file and of what it defines, those of fields among them, with their lines."""
    for node in ast.walk(tree):
        for one in getattr(node, "body", ()) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            if isinstance(one, ast.Expr):
                yield from texts(one.value) if isinstance(one.value, ast.Constant) else ()


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text in a file with its line, the parts of f-strings among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value.strip()


def found(pick: Callable[[ast.AST], Iterator[tuple[int, str]]], pattern: str) -> list[str]:
    """Places in the project's code where a text has a pattern."""
    seen, places = 0, []
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "_pb2" not in path.name):
        for line, text in pick(ast.parse(path.read_text(encoding="utf-8"))):
            seen += 1
            if match := re.search(pattern, text):
                places.append(f"{path.relative_to(ROOT)}:{line}: {match[0]} … {text[:60]!r}")
    assert seen > 1000
    return places


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    assert found(docstrings, rf"\A{OPENINGS.pattern}") == []


@pytest.mark.parametrize("pattern", BANNED)
def test_words_that_are_not_used(pattern: str) -> None:
    assert found(texts, pattern) == [], BANNED[pattern]
