"""The server as a process of its own against ONNX Runtime on the same file, by turns: images/s and their ratio."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from statistics import median

import numpy as np
from resprobe_protos.contract import IMAGE, LEAN
from resprobe_server.execution.session import Session
from support.server_process import ServerProcess, start

from on_gpu.clients import Clients, Load, Seen, started
from on_gpu.graphs import as_served, noise
from on_gpu.results import Results, Rows
from on_gpu.settings import Model, Settings
from on_gpu.timing import WARM_UP, Run, call_seconds, reason

BATCH = 32  # the server's --max-batch by default
LOADS = (
    Load("8 × 32 images", 8, 32),
    Load("64 × 1 image", 64),
    Load("one stream, 64 × 1 image", 64, streamed=True, clients=1),
)
TINY = (
    Load("2 × 2 images", 2, 2, clients=1),
    Load("2 × 1 image", 2, clients=1),
    Load("one stream, 2 × 1 image", 2, streamed=True, clients=1),
)
NOTES = (
    "By turns. Raw: ONNX Runtime in a process of its own as the server runs it, batches of 32, images copied from the "
    "host, answers back. Load comes from four processes; a stream from one. Server CPU: cores that the server kept "
    "busy meanwhile.",
)


@dataclass(frozen=True)
class Subject:
    """A server, and beside it ONNX Runtime on a model's lean graph, both with or both without CUDA graphs."""

    recorded: bool
    server: ServerProcess
    raw: Run


def run(settings: Settings, results: Results) -> None:
    """Adds a row for each model, load, and with and without CUDA graphs."""
    columns = "model", "load", "CUDA graphs", "images/s", "raw, images/s", "served / raw", "p50, ms", "p99, ms"
    table = results.table("Served", *columns, "server CPU, cores", notes=NOTES)
    loads = TINY if settings.quick else LOADS
    with ExitStack() as stack:
        servers = _start(settings, stack, table)
        clients = stack.enter_context(started(max(load.clients for load in loads)))
        for model, precision in settings.variants():
            subjects = []
            for recorded, server in servers.items():
                try:
                    session = as_served(settings.directory(model, precision) / LEAN, settings.provider(recorded))
                    subjects.append(Subject(recorded, server, _raw(session, model)))
                except Exception as error:  # whatever ONNX Runtime raises; the others go on
                    table.note(f"{model.named(precision)}{', CUDA graphs' * recorded}: {reason(error)}")
            _measure(model.named(precision), subjects, clients, loads, settings, table)


def _start(settings: Settings, stack: ExitStack, table: Rows) -> dict[bool, ServerProcess]:
    """Starts several servers at the same time, because each needs time to load and warm the models."""
    servers = {}
    with ThreadPoolExecutor() as threads:
        starting = {one: threads.submit(stack.enter_context, _serve(settings, one)) for one in settings.recordings}
    for recorded, task in starting.items():
        if (error := task.exception()) is not None:
            table.note(f"server{', CUDA graphs' * recorded}: {error}")
            continue
        servers[recorded] = task.result()
        for line in servers[recorded].log:
            print(line, end="")
            if "without CUDA graphs" in line:
                table.note(f"The server with CUDA graphs says: {line.strip()}")
    if not servers:
        raise RuntimeError(f"no server started: {task.exception()}")
    return servers


def _serve(settings: Settings, recorded: bool) -> AbstractContextManager[ServerProcess]:
    flags = ["--cuda-graphs" if recorded else "--no-cuda-graphs", *["--threads", "1"] * settings.quick]
    return start(settings.repository, "--mode", "once", "--device", settings.device, *flags)


def _raw(session: Session, model: Model) -> Run:
    images = noise((BATCH, model.size, model.size, 3))
    for _ in range(WARM_UP):
        session.run({IMAGE: images})
    return lambda: session.run({IMAGE: images})


def _measure(
    model: str, subjects: list[Subject], clients: Clients, loads: tuple[Load, ...], settings: Settings, table: Rows
) -> None:
    seconds, turns = (0.2, 1) if settings.quick else (0.5, 3)
    raw: dict[bool, list[float]] = defaultdict(list)
    seen: dict[tuple[bool, Load], list[Seen]] = defaultdict(list)
    for _ in range(turns):
        for subject in subjects:
            raw[subject.recorded].append(BATCH / call_seconds(subject.raw, seconds / 3))
            for load in loads:
                seen[subject.recorded, load].append(clients.ask(subject.server, model, load, seconds))
    for (recorded, load), found in seen.items():
        rate, limit = median(one.rate for one in found), median(raw[recorded])
        latencies = np.concatenate([one.latencies for one in found])
        p50, p99 = (float(one) * 1e3 for one in np.percentile(latencies, [50, 99])) if len(latencies) else (None, None)
        cores = median(one.cores for one in found)
        table.add(model, load.name, recorded, rate, limit, rate / limit, p50, p99, cores)
