"""Hardware and versions that the benchmark ran on, and the provider that a session of the server really uses."""

import os
import platform
import re
import tempfile
from importlib.metadata import distributions
from pathlib import Path

import onnxruntime
from resprobe_server.execution.providers import IDENTITY
from resprobe_server.execution.session import Session

from on_gpu import driver
from on_gpu.results import Results
from on_gpu.settings import Settings

PACKAGES = ("torch", "triton", "onnx", "onnx-ir", "onnxscript", "grpcio", "protobuf", "numpy")
CUDA = re.compile(r"nvidia-(cudnn|cublas|cuda-runtime)")


def run(settings: Settings, results: Results) -> None:
    """Adds a table of names and versions. Raises StartError if CUDA is wanted and cannot be used."""
    table = results.table("Machine and versions", "what", "value")
    for name, value in (driver.describe() if settings.device == "cuda" else {}).items():
        table.add(name, value)
    table.add("CPU", f"{_cpu()}, {len(os.sched_getaffinity(0))} cores for this process")
    table.add("Python", platform.python_version())
    built = getattr(onnxruntime, "cuda_version", "")
    table.add("ONNX Runtime", f"{onnxruntime.__version__}, built for {f'CUDA {built}' if built else 'no CUDA'}")
    installed = {one.name.lower().replace("_", "-"): one.version for one in distributions()}
    for package in (*PACKAGES, *sorted(filter(CUDA.match, installed))):
        table.add(package, installed.get(package))
    provider = settings.provider()
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "identity.onnx")
        graph.write_bytes(IDENTITY)
        table.add("provider of the server's sessions", Session(graph, provider).provider)


def _cpu() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else platform.processor()
