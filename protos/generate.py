"""Writes the Python stubs of every .proto in resprobe_protos, and resprobe.binpb, the descriptors that Envoy wants.

`generate.py [OUT [DESCRIPTORS]]`: OUT is by default this folder, DESCRIPTORS the file in deploy/.
"""

import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
DESCRIPTORS = ROOT.parent / "deploy" / "resprobe.binpb"


def generate(out: Path) -> None:
    """Writes stubs under `out`, at the same relative paths as the .proto files here.

    Args:
        out: An existing folder.

    Raises:
        SystemExit: protoc refused a file; it has printed why.
    """
    files = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("resprobe_protos/*.proto"))
    scripts = Path(sys.executable).parent  # the environment need not be on PATH
    plugins = [f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    _run([*plugins, *outputs, *files])


def describe(out: Path) -> None:
    """Writes resprobe.v1 and all that it imports as a FileDescriptorSet, with the types of errors' details.

    Args:
        out: File to write.

    Raises:
        SystemExit: protoc refused a file; it has printed why.
    """
    files = "resprobe_protos/resprobe.proto", "resprobe_protos/rollout.proto", "google/rpc/error_details.proto"
    _run([f"--descriptor_set_out={out}", "--include_imports", *files])


def _run(arguments: list[str]) -> None:
    includes = [ROOT, Path(str(resources.files("grpc_tools"))) / "_proto", common_protos()]
    if protoc.main(["protoc", *(f"-I{path}" for path in includes), *arguments]) != 0:
        raise SystemExit("protoc failed")


def common_protos() -> Path:
    """The folder that `google/rpc/*.proto` is imported from: it comes with googleapis-common-protos."""
    from google.rpc import status_pb2

    return Path(status_pb2.__file__).resolve().parents[2]


if __name__ == "__main__":
    given = [Path(one) for one in sys.argv[1:]]
    generate(given[0] if given else ROOT)
    describe(given[1] if len(given) > 1 else DESCRIPTORS)
