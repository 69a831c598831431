"""Starts the workers of a server, watches them, starts dead ones anew, and ends them."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from resprobe_server.config import Config
from resprobe_server.errors import StartError
from resprobe_server.observability import listener
from resprobe_server.observability.merging import add_up
from resprobe_server.observability.workers import Standing, registry
from resprobe_server.start_check import FOLDERS
from resprobe_server.supervision.ports import reserved
from resprobe_server.supervision.process import Process
from resprobe_server.supervision.share import share
from resprobe_server.workers.channel import Message

ATTEMPTS = 3  # workers that may die in a row, without a reason, before any serves
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds until a worker that has died is started anew; doubled each time
GOOD = 60.0  # seconds of life after which the pause is the first again
SCRAPE = 5.0  # seconds that a worker has to tell its metrics; then the last ones stand
MORE_THAN_DRAIN = 10.0  # seconds from the end of the drain until a worker is killed
LONGEST_PATH = 90  # bytes of the folder's name: a socket's has at most 107
log = structlog.get_logger()


class Supervisor:
    """Supervisor of the workers of one server. Lives on the event loop."""

    def __init__(self, config: Config, folder: Path) -> None:
        """Creates it; `config` names ports that are reserved, and `folder` is for the workers alone."""
        self._config, self._folder = share(config), folder
        self._loop = asyncio.get_running_loop()
        self._workers: dict[int, Process] = {}
        self._ended, self._deaths, self._restarts = "", 0, 0
        self._has_served = self._stopping = False
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serves until a signal arrives.

        Raises:
            StartError: No worker serves, and there is no hope that one will.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal)
        with listener.listen(self._config.metrics_address, registry(self._ask)):
            try:
                async with asyncio.TaskGroup() as group:
                    keeping = [group.create_task(self._keep(index)) for index in range(self._config.workers)]
                    await self._stop.wait()
                    self._stopping = True
                    for worker in self._workers.values():
                        worker.stop()
                    _, left = await asyncio.wait(keeping, timeout=self._config.drain + MORE_THAN_DRAIN)
                    if left:
                        log.error("workers did not end in time, and were killed", workers=len(left))
                        self._kill()
            except* StartError as group_of_errors:
                raise StartError(str(group_of_errors.exceptions[0])) from None
            finally:
                self._kill()
        log.info("stopped")

    async def _keep(self, index: int) -> None:
        """Runs a worker, and others in its place when it has ended."""
        pause = FIRST_PAUSE
        while not self._stopping:
            began = time.monotonic()
            worker = self._workers[index] = await Process.start(index, self._config, self._folder)
            code = await worker.follow(self._hear)
            if worker.metrics:
                self._ended = add_up(self._ended, worker.metrics)
                worker.metrics = ""
            if self._stopping:
                return
            self._check_hope(worker, code)
            pause = FIRST_PAUSE if time.monotonic() - began > GOOD else pause
            self._restarts += 1
            log.error("a worker has ended, and is started anew", worker=index, ended=_ending(code), seconds=pause)
            await self._rest(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _check_hope(self, worker: Process, code: int) -> None:
        """Raises StartError if a worker has ended before it served, none serves, and another will do no better."""
        if worker.is_loaded:
            self._deaths = 0
        elif not any(one.is_serving for one in self._workers.values()):
            self._deaths += 1
            if worker.reason:
                raise StartError(worker.reason)
            if self._deaths >= ATTEMPTS:
                raise StartError(
                    f"no worker serves: {ATTEMPTS} in a row died before they had loaded their models, the last one "
                    f"with {_ending(code)}; `resprobe-server` without --workers shows where"
                )

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _hear(self, worker: Process, message: Message) -> None:
        """Handles what a worker reports."""
        match message["event"]:
            case "loaded" if self._has_served:
                worker.serve()
            case "loaded" if self._all(lambda one: one.is_loaded):
                self._has_served = True
                for one in self._workers.values():
                    one.serve()
            case "serving" if self._all(lambda one: one.is_serving):
                port = int(self._config.address.rpartition(":")[2])
                log.info("started", address=self._config.address, port=port, workers=self._config.workers)
            case "out of step":
                self._workers[int(message["worker"])].stop()

    def _ask(self) -> Standing:
        """Asks all workers for their metrics. Runs on a thread of the listener."""
        return asyncio.run_coroutine_threadsafe(self._gather(), self._loop).result(2 * SCRAPE)

    async def _gather(self) -> Standing:
        await asyncio.gather(*(one.ask_metrics(SCRAPE) for one in self._workers.values() if one.is_serving))
        workers = self._workers.values()
        texts = tuple(one.metrics for one in workers)
        return Standing(texts, self._ended, sum(one.is_serving for one in workers), self._restarts)

    def _all(self, holds: Callable[[Process], bool]) -> bool:
        return len(self._workers) == self._config.workers and all(map(holds, self._workers.values()))

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._kill()
            os._exit(1)
        self._stop.set()

    def _kill(self) -> None:
        for worker in self._workers.values():
            worker.kill()


async def supervise(config: Config) -> None:
    """Runs workers until a signal arrives. Raises StartError if they cannot serve."""
    with ExitStack() as stack:
        address = stack.enter_context(reserved(config.address))
        health = stack.enter_context(reserved(config.health_address)) if config.health_address else ""
        folder = stack.enter_context(_private_folder())
        await Supervisor(replace(config, address=address, health_address=health), folder).run()


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Makes a folder that only this user can enter, with a short name, for the sockets of the workers."""
    for parent in FOLDERS:
        try:
            found = tempfile.TemporaryDirectory(prefix="resprobe-", dir=parent, ignore_cleanup_errors=True)
        except OSError:
            continue
        with found as name:
            if len(name.encode()) <= LONGEST_PATH:
                yield Path(name)
                return
    raise StartError("--workers needs a folder for sockets, in TMPDIR or /dev/shm, with a path of at most 90 bytes")


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
