"""Writes the Python stubs of every .proto in resprobe_protos: `generate.py [OUT]`, OUT by default this folder."""

import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent


def generate(out: Path) -> None:
    """Writes stubs under `out`, at the same relative paths as the .proto files here.

    Args:
        out: An existing folder.

    Raises:
        SystemExit: protoc refused a file; it has printed why.
    """
    includes = [ROOT, Path(str(resources.files("grpc_tools"))) / "_proto", common_protos()]
    files = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("resprobe_protos/*.proto"))
    scripts = Path(sys.executable).parent  # the environment need not be on PATH
    plugins = [f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    arguments = ["protoc", *(f"-I{path}" for path in includes), *plugins, *outputs, *files]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed")


def common_protos() -> Path:
    """The folder that `google/rpc/*.proto` is imported from: it comes with googleapis-common-protos."""
    from google.rpc import status_pb2

    return Path(status_pb2.__file__).resolve().parents[2]


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
