"""Which file may import what: borders that a reader can rely on."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "resprobe_exporter": ROOT / "exporter",
    "resprobe_server": ROOT / "server",
    "resprobe": ROOT / "client",
}
QUESTIONS = ("degradation", "overfitting", "gradients", "responses", "ratios", "lesions")


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
    ("modules", "allowed"),
    [
        (
            [
                f"resprobe_protos.{name}{kind}"
                for name in ("resprobe", "open_inference")
                for kind in ("_pb2", "_pb2_grpc")
            ],
            {
                "client/resprobe/_async_client.py",
                "client/resprobe/_client.py",
                "client/resprobe/_wire/requests.py",
                "client/resprobe/_wire/responses.py",
                "exporter/resprobe_exporter/versions/metadata.py",
                "exporter/resprobe_exporter/commands/block_table.py",
                "server/resprobe_server/app.py",
                "server/resprobe_server/models/description.py",
                "server/resprobe_server/validation/digests.py",
                "server/resprobe_server/validation/declarations.py",
                "server/resprobe_server/services/open_inference/inputs.py",
                "server/resprobe_server/models/loader.py",
                "server/resprobe_server/services/message_limits.py",
                "server/resprobe_server/services/open_inference/metadata.py",
                "server/resprobe_server/services/open_inference/service.py",
                "server/resprobe_server/services/open_inference/plan.py",
                "server/resprobe_server/services/resprobe_v1.py",
                "server/resprobe_server/models/version.py",
            },
        ),
        (["google.rpc"], {"client/resprobe/_wire/status.py", "server/resprobe_server/rpc/status.py"}),
        (
            ["onnxruntime"],
            {
                "exporter/resprobe_exporter/quantization/int8.py",
                "exporter/resprobe_exporter/verification/ort.py",
                "server/resprobe_server/execution/session.py",
                "server/resprobe_server/execution/providers.py",
            },
        ),
        (["jinja2"], {"client/resprobe/report/page.py"}),
        (
            ["matplotlib"],
            {f"client/resprobe/plots/{name}.py" for name in ("figures", "lesions", "ratios")}
            | {"client/resprobe/report/page.py"}
            | {f"exporter/resprobe_exporter/study/{name}.py" for name in ("figures", "page")}
            | {f"exporter/resprobe_exporter/study/questions/{name}.py" for name in QUESTIONS},
        ),
        (["pyarrow"], {"client/resprobe/analysis/arrow.py", "exporter/resprobe_exporter/study/results.py"}),
        (["prometheus_client"], {"server/resprobe_server/observability/prometheus.py"}),
        (
            ["opentelemetry"],
            {"server/resprobe_server/scheduling/request.py", "server/resprobe_server/observability/traces.py"},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_only_these_files_import_it(modules: list[str], allowed: set[str]) -> None:
    assert importing(*modules) == allowed


def test_only_the_exporter_knows_torch_and_onnx() -> None:
    assert {name.partition("/")[0] for name in importing("torch", "onnx", "onnx_ir", "safetensors")} == {"exporter"}


def test_exporter_and_server_do_not_know_each_other() -> None:
    assert not {name for name in importing("resprobe_server") if name.startswith(("exporter", "client"))}
    assert not {name for name in importing("resprobe_exporter") if name.startswith(("server", "client"))}


def test_only_app_imports_the_whole_server() -> None:
    users = importing("resprobe_server.services.resprobe_v1") | importing("resprobe_server.app")
    assert users == {"server/resprobe_server/app.py", "server/resprobe_server/command.py"}


def exporter(*modules: str) -> set[str]:
    return {f"resprobe_exporter.{module}" for module in modules}


def test_rooms_stay_small() -> None:
    modules = Counter(str(path.parent.relative_to(ROOT)) for path in files() if path.name != "__init__.py")
    assert {room: count for room, count in modules.items() if count > 12} == {}


@pytest.mark.parametrize(
    ("room", "outside"),
    [
        ("client/resprobe/_pictures", {"resprobe.errors"}),
        (
            "client/resprobe/_wire",
            {"resprobe._classes", "resprobe._pictures", "resprobe._statistics", "resprobe.errors"},
        ),
        ("exporter/resprobe_exporter/nets", exporter("errors")),
        ("exporter/resprobe_exporter/training", exporter("errors", "nets")),
        ("exporter/resprobe_exporter/graph", exporter("errors", "nets")),
        ("exporter/resprobe_exporter/verification", exporter("errors", "nets", "graph")),
        ("exporter/resprobe_exporter/importing", exporter("errors", "progress", "nets", "graph", "verification")),
        (
            "exporter/resprobe_exporter/versions",
            exporter("errors", "progress", "nets", "training", "graph", "verification", "importing"),
        ),
        ("server/resprobe_server/execution", {f"resprobe_server.{name}" for name in ("config", "errors", "text")}),
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


def test_files_stay_small() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files()}
    assert {name: length for name, length in lengths.items() if length > 330} == {}


def test_onnx_files_are_imported_without_torch() -> None:
    """`exporter probe` waits neither for torch nor for the trainer."""
    unwanted = {"torch", "resprobe_exporter.training"}
    code = f"import sys, resprobe_exporter.versions.import_onnx; print({unwanted} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
