"""Whether the memory of a server stays flat on the host and on the GPU under mixed load (benchmarks/soak.py)."""

import asyncio
from dataclasses import dataclass
from statistics import median

import soak
from server_process import start

from on_gpu import driver
from on_gpu.results import Results
from on_gpu.settings import Settings

NOTES = (
    "32 requests in flight, some unary, some on one stream, some cancelled, every tenth with blocks. Medians of the "
    "first and last quarter of the time. GPU: all of the device's memory in use.",
)


@dataclass(frozen=True)
class Look:
    """MiB in use: on the host by the server, and on the GPU by all. If None, there is no GPU."""

    host: float
    gpu: float | None


def run(settings: Settings, results: Results) -> None:
    """Adds a row for the host and one for the GPU."""
    seconds, warm_up = (1.0, 0.2) if settings.quick else (60.0, 5.0)
    model = settings.written()[0]
    flags = ["--cuda-graphs"] if settings.device == "cuda" else ["--threads", "1"]
    callers = 4 if settings.quick else 32
    options = soak.Options(settings.repository, model.name, seconds / 60, warm_up, callers, interval=seconds / 60)
    columns = "memory", "first quarter, MiB", "last quarter, MiB", "change, %", "images/s"
    table = results.table(f"Memory over {seconds:.0f} s of load, {model.name}", *columns, notes=NOTES)
    with start(settings.repository, "--mode", "once", "--device", settings.device, *flags) as server:
        looks, answered = asyncio.run(soak.measure(options, server.port, lambda: _look(server.pid, settings)))
    kinds = {"host": [look.host for look in looks], "GPU": [look.gpu for look in looks if look.gpu is not None]}
    for name, values in kinds.items():
        if values:
            quarter = max(1, len(values) // 4)
            first, last = median(values[:quarter]), median(values[-quarter:])
            table.add(name, first, last, 100 * (last / first - 1), answered / seconds)


def _look(pid: int, settings: Settings) -> Look:
    return Look(soak.resident(pid), driver.memory_in_use() if settings.device == "cuda" else None)
