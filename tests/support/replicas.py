"""Servers in processes of their own, so that a test can kill one; and clients that keep asking meanwhile."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.waiting import until

SECONDS = 60  # maximum for a server to start or to stop


@dataclass(frozen=True)
class Replica:
    """Process that serves one version of a model: answers name it, and so say which replica they are from."""

    process: subprocess.Popen[str]
    port: int
    version: str

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def replica(root: Path, version: str, *options: str, at: str = "127.0.0.1:0") -> Iterator[Replica]:
    """Runs a server with the repository at `root`; ends with the process killed, if it still runs."""
    command = [sys.executable, "-m", "resprobe_server", str(root), "--address", at, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            started = next(event for line in process.stderr if (event := json.loads(line))["event"] == "started")
            reader = threading.Thread(target=_drain, args=(process.stderr,))
            reader.start()
            yield Replica(process, started["port"], version)
        finally:
            process.kill()
            reader.join(SECONDS)


@contextmanager
def replicas(repository: Path, folder: Path, *options: str) -> Iterator[list[Replica]]:
    """Runs two servers: one has version 1 of the model digits, the other version 2."""
    with ExitStack() as stack:
        yield [stack.enter_context(replica(one_version(repository, folder, n), n, *options)) for n in ("1", "2")]


def one_version(repository: Path, folder: Path, version: str) -> Path:
    """Makes a repository with one version of the model digits."""
    root = folder / f"only-{version}"
    (root / "digits").mkdir(parents=True, exist_ok=True)
    (root / "digits" / version).symlink_to(repository / "digits" / version)
    return root


def answered(ask: Callable[[], str], calls: int) -> Counter[str]:
    """Asks one by one until both versions have answered, and counts the versions that answer `calls` calls then."""
    seen: set[str] = set()

    def both() -> bool:
        seen.add(ask())
        return seen == {"1", "2"}

    until(both)
    return Counter(ask() for _ in range(calls))


def while_asking(ask: Callable[[], str], event: Callable[[], None], threads: int = 4) -> list[str]:
    """Asks in some threads while an event takes place and 40 times more; returns the versions that answered.

    Raises what a call raises.
    """
    counts, over = [0] * threads, threading.Event()

    def asking(place: int) -> list[str]:
        found = []
        while not over.is_set():
            found.append(ask())
            counts[place] += 1
        return found

    with ThreadPoolExecutor(threads) as pool:
        runs = [pool.submit(asking, place) for place in range(threads)]
        try:
            until(lambda: sum(counts) >= 40 or any(run.done() for run in runs))
            event()
            before = sum(counts)
            until(lambda: sum(counts) >= before + 40 or any(run.done() for run in runs))
        finally:
            over.set()
        return [version for run in runs for version in run.result(SECONDS)]


def _drain(stream: IO[str]) -> None:
    """Reads what a server logs, so that it never waits for its reader."""
    for _ in stream:
        pass
