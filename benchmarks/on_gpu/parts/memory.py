"""Whether the memory of a server stays flat on the host and on the GPU under mixed load (benchmarks/soak.py)."""

import asyncio
from dataclasses import dataclass, replace
from statistics import median

import soak
from support.server_process import start

from on_gpu import driver
from on_gpu.results import Results
from on_gpu.settings import Settings

QUARTERS = 4
NOTES = (
    "Medians of each quarter of the time. 32 requests in flight, some unary, some on one stream, some cancelled, every "
    "tenth with blocks. GPU: all of the device's memory in use.",
)


@dataclass(frozen=True)
class Look:
    """Returns the MiB in use on the host by the server, and on the GPU by all processes. If None, there is no GPU."""

    host: float
    gpu: float | None


def run(settings: Settings, results: Results) -> None:
    """Adds a row for each quarter of the load."""
    seconds, warm_up, callers = (1.0, 0.2, 4) if settings.quick else (60.0, 5.0, 32)
    model = settings.written()[0]
    flags = ["--threads", "1"] if settings.device == "cpu" else []
    minutes = seconds / 60 / QUARTERS
    options = soak.Options(settings.repository, model.name, minutes, warm_up, callers, interval=seconds / 60)
    title = f"Memory over {seconds:g} s of load, {model.name}"
    table = results.table(title, "quarter", "host, MiB", "GPU, MiB", "images/s", notes=NOTES)
    with start(settings.repository, "--mode", "once", "--device", settings.device, *flags) as server:
        for quarter in range(1, QUARTERS + 1):
            looks, answered = asyncio.run(soak.measure(options, server.port, lambda: _look(server.pid, settings)))
            gpu = [look.gpu for look in looks if look.gpu is not None]
            host = median(look.host for look in looks)
            table.add(quarter, host, median(gpu) if gpu else None, answered / (60 * minutes))
            options = replace(options, warm_up=0.1)


def _look(pid: int, settings: Settings) -> Look:
    return Look(soak.resident(pid), driver.memory_in_use() if settings.device == "cuda" else None)
