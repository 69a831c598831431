"""Which file may import what: borders that a reader can rely on."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
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
            ["resprobe_protos"],
            {
                "client/resprobe/async_client.py",
                "client/resprobe/client.py",
                "client/resprobe/request.py",
                "client/resprobe/result.py",
                "exporter/resprobe_exporter/describe.py",
                "exporter/resprobe_exporter/inspection.py",
                "server/resprobe_server/app.py",
                "server/resprobe_server/description.py",
                "server/resprobe_server/digests.py",
                "server/resprobe_server/fitness.py",
                "server/resprobe_server/infer.py",
                "server/resprobe_server/loader.py",
                "server/resprobe_server/messages.py",
                "server/resprobe_server/metadata.py",
                "server/resprobe_server/open_inference.py",
                "server/resprobe_server/plan.py",
                "server/resprobe_server/service.py",
                "server/resprobe_server/version.py",
            },
        ),
        (["google.rpc"], {"client/resprobe/status.py", "server/resprobe_server/status.py"}),
        (
            ["onnxruntime"],
            {
                "exporter/resprobe_exporter/runtime.py",
                "server/resprobe_server/session.py",
                "server/resprobe_server/providers.py",
            },
        ),
        (["jinja2"], {"client/resprobe/page.py"}),
        (
            ["matplotlib"],
            {f"client/resprobe/{name}.py" for name in ("figures", "lesion_plot", "page", "plot")}
            | {f"exporter/resprobe_exporter/study/{name}.py" for name in ("figures", "page")}
            | {f"exporter/resprobe_exporter/study/questions/{name}.py" for name in QUESTIONS},
        ),
        (["pyarrow"], {"client/resprobe/parquet.py", "exporter/resprobe_exporter/study/results.py"}),
        (["prometheus_client"], {"server/resprobe_server/metrics.py"}),
        (["opentelemetry"], {"server/resprobe_server/work.py", "server/resprobe_server/tracing.py"}),
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
    users = importing("resprobe_server.service") | importing("resprobe_server.app")
    assert users == {"server/resprobe_server/app.py", "server/resprobe_server/command.py"}


def test_files_stay_small() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files()}
    assert {name: length for name, length in lengths.items() if length > 330} == {}
