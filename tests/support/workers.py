"""Servers with several worker processes."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import grpc

from tests.support.scrape import Scrape
from tests.support.waiting import until

OWN = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own: the kernel chooses a worker for each


@dataclass
class Workers:
    """A supervisor, and what it and its workers have logged."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.find('started')['port']}"

    @property
    def metrics(self) -> Scrape:
        return Scrape(f"127.0.0.1:{self.find('metrics')['port']}")

    def find(self, event: str) -> dict[str, Any]:
        return next(one for one in self.events if one["event"] == event)

    def count(self, event: str) -> int:
        return sum(one["event"] == event for one in self.events)

    def pids(self) -> list[int]:
        """Ids of the workers that run, by their numbers."""
        newest = {one["worker"]: one["pid"] for one in self.events if one["event"] == "worker started"}
        return [newest[index] for index in sorted(newest)]

    def replaced(self, kill: Callable[[], None], count: int = 1) -> None:
        """Ends workers and waits until as many others serve in their place."""
        before = self.count("worker started")
        kill()
        until(lambda: self.count("worker started") == before + count)

    def read(self, stream: IO[str]) -> None:
        for line in stream:
            self.events.append(json.loads(line))


@contextmanager
def workers(root: Path, *options: str, count: int = 2) -> Iterator[Workers]:
    """Runs a server with two workers; ends with its supervisor killed, if it still runs."""
    command = [sys.executable, "-m", "resprobe_server", str(root), "--workers", str(count), "--address", "127.0.0.1:0"]
    command += ["--metrics-address", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = Workers(process)
        reader = threading.Thread(target=found.read, args=(process.stderr,))
        reader.start()
        try:
            until(lambda: found.count("started") == 1 or process.poll() is not None)
            yield found
        finally:
            process.kill()
            reader.join(60)  # the log ends when the last worker has ended


def each(address: str, ask: Callable[[grpc.Channel], Any], times: int = 16) -> list[Any]:
    """Asks over several connections: with two workers, all reach the same one once in 32768 times."""
    found = []
    for _ in range(times):
        with grpc.insecure_channel(address, OWN) as channel:
            found.append(ask(channel))
    return found
