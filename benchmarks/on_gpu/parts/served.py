"""The server as a process of its own against ONNX Runtime on the same file, by turns: images/s and their ratio."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from statistics import median

import numpy as np
import numpy.typing as npt
from resprobe_server.repository import IMAGE, LEAN
from resprobe_server.session import Session
from server_process import ServerProcess, start

from on_gpu.clients import Clients, Load, Seen, started
from on_gpu.graphs import noise
from on_gpu.results import Results, Rows
from on_gpu.settings import Model, Settings
from on_gpu.timing import Race

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


def run(settings: Settings, results: Results) -> None:
    """Adds a row for each model, load, and with and without CUDA graphs."""
    columns = "model", "load", "CUDA graphs", "images/s", "raw, images/s", "served / raw", "p50, ms", "p99, ms"
    table = results.table("Served", *columns, "server CPU, cores", notes=NOTES)
    loads = TINY if settings.quick else LOADS
    with ExitStack() as stack:
        with ThreadPoolExecutor() as threads:  # each takes its time to load and warm the models
            starting = [
                (one, threads.submit(stack.enter_context, _serve(settings, one))) for one in settings.recordings
            ]
        servers = {recorded: server.result() for recorded, server in starting}
        clients = stack.enter_context(started(max(load.clients for load in loads)))
        for model in settings.written():
            _measure(model, servers, clients, loads, settings, table)


def _serve(settings: Settings, recorded: bool) -> AbstractContextManager[ServerProcess]:
    flags = ["--cuda-graphs"] * recorded + ["--threads", "1"] * settings.quick
    return start(settings.repository, "--mode", "once", "--device", settings.device, *flags)


def _measure(
    model: Model,
    servers: dict[bool, ServerProcess],
    clients: Clients,
    loads: tuple[Load, ...],
    settings: Settings,
    table: Rows,
) -> None:
    seconds, turns = (0.2, 1) if settings.quick else (0.7, 3)
    path = settings.directory(model) / LEAN
    sessions = {recorded: Session(path, settings.provider(recorded)) for recorded in servers}
    images = noise((BATCH, model.size, model.size, 3))
    raw: dict[bool, list[float]] = defaultdict(list)
    seen: dict[tuple[bool, Load], list[Seen]] = defaultdict(list)
    for _ in range(turns):
        for recorded, server in servers.items():
            raw[recorded].append(_raw(sessions[recorded], images, seconds / 3))
            for load in loads:
                seen[recorded, load].append(clients.ask(server, model.name, load, seconds))
    for (recorded, load), found in seen.items():
        rate, limit = median(one.rate for one in found), median(raw[recorded])
        latencies = np.concatenate([one.latencies for one in found])
        p50, p99 = np.percentile(latencies, [50, 99]) * 1e3 if len(latencies) else (np.nan, np.nan)
        ratio = rate / limit if limit else None
        cores = median(one.cores for one in found)
        table.add(model.name, load.name, recorded, rate, limit, ratio, float(p50), float(p99), cores)


def _raw(session: Session, images: npt.NDArray[np.uint8], seconds: float) -> float:
    """Images/s of a session; 0 if it fails."""
    return Race({"raw": lambda: lambda: session.run({IMAGE: images})}, 1, seconds).rate("raw", len(images)) or 0.0
