"""Starts the server as a process of its own, on a free port, and ends it."""

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")  # a second


@dataclass(frozen=True)
class ServerProcess:
    """A server that has loaded its models: its port on 127.0.0.1, its process id, and its log until then."""

    port: int
    pid: int
    log: tuple[str, ...]

    @property
    def address(self) -> str:
        """Address of the server, HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Returns the CPU seconds of the server's threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


@contextmanager
def start(repository: Path, *options: str) -> Iterator[ServerProcess]:
    """A context that serves a repository.

    Raises:
        RuntimeError: The server ended before it had loaded its models; the text has the last lines of its log.
    """
    command = [sys.executable, "-m", "resprobe_server", str(repository), "--address", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        # a log that nobody reads would hold the server up
        reader = threading.Thread(target=deque, args=(server.stderr, 0), daemon=True)
        try:
            log: list[str] = []
            for line in server.stderr:
                log.append(line)
                if '"started"' in line:
                    break
            else:
                raise RuntimeError(f"the server did not start: {' '.join(''.join(log[-5:]).split())}")
            reader.start()
            yield ServerProcess(json.loads(log[-1])["port"], server.pid, tuple(log))
        finally:
            server.terminate()
            if reader.ident is not None:
                reader.join()  # at the end of the log
