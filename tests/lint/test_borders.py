"""Borders between rooms, as far as the contracts of import-linter in pyproject.toml cannot say them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "resprobe_exporter": ROOT / "exporter",
    "resprobe_server": ROOT / "server",
    "resprobe": ROOT / "client",
}
SERVER = (  # rooms of the server, from the lowest to the highest, with the names of it that they may import
    ("execution", {"config", "errors"}),
    ("scheduling", {"execution", "errors", "tracer"}),
    ("images", {"scheduling.budget", "config", "errors"}),
    ("validation", {"execution", "images.format", "errors"}),
    ("models", {"execution", "scheduling", "images.format", "validation", "config", "errors", "memory"}),
    ("shadowing", {"execution", "scheduling", "models", "errors"}),
    (
        "observability",
        {"scheduling", "models", "shadowing", "rpc.status_counts", "binding", "config", "errors", "tracer"},
    ),
    ("workers", {"models.registry", "errors"}),
    (
        "services",
        {
            *("execution", "scheduling", "images", "models", "shadowing", "config", "errors", "tracer"),
            *("rpc.context", "rpc.request_stream", "rpc.status", "principal"),
        },
    ),
)


def files() -> Iterator[Path]:
    for name, folder in PACKAGES.items():
        yield from (folder / name).rglob("*.py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def importing(*modules: str) -> set[str]:
    """Files that import any of these modules or something inside them."""
    return {
        str(path.relative_to(ROOT))
        for path in files()
        if any(one == module or one.startswith(f"{module}.") for one in imports(path) for module in modules)
    }


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("grpc._cython", {"server/resprobe_server/rpc/core.py"}),
        (
            "google.rpc",
            {
                "client/resprobe/_wire/status.py",
                "server/resprobe_server/rpc/status.py",
                "server/resprobe_server/services/endpoint.py",
                "server/resprobe_server/services/open_inference/plan.py",
                "server/resprobe_server/services/resprobe_v1/plan.py",
            },
        ),
    ],
)
def test_only_these_files_import_it(module: str, allowed: set[str]) -> None:
    assert importing(module) == allowed


def test_only_app_imports_the_whole_server() -> None:
    users = importing("resprobe_server.app", "resprobe_server.observability", "resprobe_server.services")
    outside = {name for name in users if "/services/" not in name and "/observability/" not in name}
    files = "app", "binding", "command", "supervision/supervisor", "supervision/worker"
    assert outside == {f"server/resprobe_server/{name}.py" for name in files}


def exporter(*modules: str) -> set[str]:
    return {f"resprobe_exporter.{module}" for module in modules}


@pytest.mark.parametrize(
    ("room", "outside"),
    [
        ("client/resprobe/_pictures", {"resprobe.errors"}),
        (
            "client/resprobe/_wire",
            {"resprobe._classes", "resprobe._pictures", "resprobe._results", "resprobe.errors"},
        ),
        (
            "client/resprobe/_results",
            {"resprobe._pictures.images", "resprobe._pictures.resize_and_crop", "resprobe.errors"},
        ),
        ("exporter/resprobe_exporter/nets", exporter("errors")),
        ("exporter/resprobe_exporter/training", exporter("errors", "nets")),
        ("exporter/resprobe_exporter/graph", exporter("errors", "nets")),
        ("exporter/resprobe_exporter/verification", exporter("errors", "nets", "graph")),
        ("exporter/resprobe_exporter/checkpoints", exporter("errors", "nets")),
        ("exporter/resprobe_exporter/classes", exporter("errors", "progress")),
        ("exporter/resprobe_exporter/importing", exporter("errors", "progress", "nets", "graph", "verification")),
        (
            "exporter/resprobe_exporter/readouts",
            exporter("errors", "progress", "nets", "training", "graph", "verification"),
        ),
        (
            "exporter/resprobe_exporter/exits",
            exporter("errors", "progress", "nets", "training", "graph", "readouts", "verification"),
        ),
        (
            "exporter/resprobe_exporter/versions",
            exporter(
                *(
                    "errors",
                    "progress",
                    "nets",
                    "training",
                    "graph",
                    "verification",
                    "checkpoints",
                    "importing",
                    "classes",
                    "readouts",
                    "exits",
                )
            ),
        ),
        *((f"server/resprobe_server/{room}", {f"resprobe_server.{name}" for name in names}) for room, names in SERVER),
    ],
)
def test_a_room_imports_nothing_else_of_its_package(room: str, outside: set[str]) -> None:
    package = room.split("/")[1]
    own = {room.partition("/")[2].replace("/", "."), *outside}
    found = {
        one
        for path in (ROOT / room).rglob("*.py")
        for one in imports(path)
        if one.startswith(f"{package}.") and not any(one == name or one.startswith(f"{name}.") for name in own)
    }
    assert found == set()


def test_every_room_says_what_it_is_for() -> None:
    for path in files():
        if path.name == "__init__.py":
            text = ast.get_docstring(ast.parse(path.read_text()))
            assert text, path


def test_onnx_files_are_imported_without_torch() -> None:
    """`exporter probe` waits neither for torch nor for the trainer."""
    unwanted = {"torch", "resprobe_exporter.training"}
    code = f"import sys, resprobe_exporter.versions.import_onnx; print({unwanted} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
