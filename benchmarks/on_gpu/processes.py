"""Runs each part in a process of its own with a time limit, so that a fault or a hang costs that part alone."""

import importlib
import importlib.util
import multiprocessing
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from on_gpu.results import Results, Table, read
from on_gpu.settings import Settings

LONGEST_LOG = 1500  # characters of it in the results


@dataclass(frozen=True)
class Outcome:
    """Outcome of a part: its tables, the seconds that it took, and why it failed, with the end of its output.

    If `failure` is None, the tables are complete; otherwise they hold the rows up to the failure.
    """

    tables: list[Table]
    seconds: float
    failure: str | None = None
    log: str = ""


def find_cuda_libraries() -> None:
    """Tells the loader of every process that is started from now on where PyTorch's CUDA and cuDNN are.

    ONNX Runtime finds them by itself only if it was installed beside them.
    """
    spec = importlib.util.find_spec("nvidia")
    roots = list(spec.submodule_search_locations or []) if spec else []
    found = [str(path) for root in roots for path in sorted(Path(root).glob("*/lib"))]
    paths = [*found, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    if paths:
        os.environ["LD_LIBRARY_PATH"] = ":".join(paths)


def run(name: str, settings: Settings, limit: float, out: Path) -> Outcome:
    """Runs a part; its output is written to NAME.log in the directory `out`."""
    path, log = out / f"{name}.json", out / f"{name}.log"
    path.unlink(missing_ok=True)
    begin = time.perf_counter()
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(name, settings, path, log))
    process.start()
    try:
        process.join(limit)
        failure = _failure(process.exitcode, limit, log)
    finally:
        _end(process.pid)  # with the servers and workers that a part has left behind
        process.join()
    tables = read(path)
    path.unlink(missing_ok=True)
    printed = log.read_text(errors="replace")[-LONGEST_LOG:] if failure and log.is_file() else ""
    return Outcome(tables, time.perf_counter() - begin, failure, printed)


def _work(name: str, settings: Settings, path: Path, log: Path) -> None:
    os.setsid()
    with log.open("w") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    importlib.import_module(f"on_gpu.parts.{name}").run(settings, Results(path))


def _end(pid: int | None) -> None:
    assert pid is not None
    with suppress(ProcessLookupError):  # all of the group are gone
        os.killpg(pid, signal.SIGKILL)


def _failure(code: int | None, limit: float, log: Path) -> str | None:
    if code == 0:
        return None
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    said = f": {lines[-1].strip()}" if lines else ""
    if code is None:
        return f"took longer than {limit:.0f} s{said}"
    return f"{f'signal {-code}' if code < 0 else f'exit code {code}'}{said}"
