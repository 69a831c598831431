"""Sizes that keep code readable: lines of files and functions, modules of rooms."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = "protos", "exporter", "server", "client", "benchmarks", "examples", "docs", "tests"
MODULES, LINES, BODY = 12, 300, 40  # of a room, a file, and a function without its docstring
COLUMNS = 120
LONG: dict[str, str] = {}  # "path:function" that may be longer, and why


def files() -> Iterator[tuple[str, str]]:
    """Paths and texts of all code that people write."""
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        if "_pb2" not in path.name:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Names of functions and the lines of each, from `def` to its end, without the docstring."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            first = node.body[0]
            documented = ast.get_docstring(node) is not None and first.end_lineno is not None
            docstring = first.end_lineno - first.lineno + 1 if documented and first.end_lineno is not None else 0
            yield node.name, node.end_lineno - node.lineno + 1 - docstring


def test_files_are_short() -> None:
    assert {path: count for path, text in files() if (count := len(text.splitlines())) > LINES} == {}


def test_scripts_of_the_page_are_short_in_both_directions() -> None:
    scripts = [path.read_text(encoding="utf-8").splitlines() for path in (ROOT / "client").rglob("*.js")]
    assert scripts
    assert max(map(len, scripts)) <= LINES
    assert max(len(line) for lines in scripts for line in lines) <= COLUMNS


def test_functions_are_short() -> None:
    found = {f"{path}:{name}": count for path, text in files() for name, count in functions(text) if count > BODY}
    assert set(found) == set(LONG), found


def test_rooms_have_few_modules() -> None:
    code = [path for path, _ in files() if not path.startswith("tests/") and not path.endswith("__init__.py")]
    rooms = Counter(str(Path(path).parent) for path in code)
    assert {room: count for room, count in rooms.items() if count > MODULES} == {}
