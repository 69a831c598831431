"""The program of a worker process: a server that its supervisor starts, watches and ends."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

import structlog
import uvloop

from resprobe_server import config_sources
from resprobe_server.app import serve
from resprobe_server.config import Config
from resprobe_server.errors import StartError
from resprobe_server.supervision.log import configure, leave_threads
from resprobe_server.workers.channel import Channel
from resprobe_server.workers.place import Place

log = structlog.get_logger()


class Worker:
    """A worker. Lives on the event loop.

    Attributes:
        stopping: Whether it is to end, or is ending.
    """

    def __init__(self, channel: Channel, folder: Path) -> None:
        """Creates the worker at this end of the channel; `folder` is that of all workers."""
        self._channel, self._folder = channel, folder
        self._may_serve = asyncio.Event()
        self._metrics: Callable[[], str] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()

    async def run(self, config: Config, index: int) -> None:
        """Serves until the supervisor says so, has ended, or a signal arrives."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        self._begin(self._listen())
        place = Place(self._folder, index, config.workers, self._loaded, self._out_of_step)
        try:
            async with serve(config, place):
                self._channel.send(event="serving")
                await self.stopping.wait()
        except StartError as error:
            self._channel.send(event="failed", reason=str(error))
            await self._channel.flush()
            os._exit(1)
        await self._send_metrics()
        await self._channel.flush()

    async def _loaded(self, metrics: Callable[[], str]) -> None:
        self._metrics = metrics
        self._channel.send(event="loaded")
        await self._may_serve.wait()

    def _out_of_step(self, index: int, reason: str) -> None:
        self._channel.send(event="out of step", worker=index, reason=reason)

    async def _listen(self) -> None:
        while (message := await self._channel.receive()) is not None:
            match message["do"]:
                case "serve":
                    self._may_serve.set()
                case "metrics":
                    self._begin(self._send_metrics())
                case "stop":
                    self._stop()
        if not self.stopping.is_set():
            log.error("the supervisor has ended; so does this worker")
            shutil.rmtree(self._folder, ignore_errors=True)
        self._stop()

    async def _send_metrics(self) -> None:
        text = "" if self._metrics is None else await asyncio.to_thread(self._metrics)
        self._channel.send(event="metrics", text=text)

    def _on_signal(self) -> None:
        if self.stopping.is_set():
            os._exit(1)
        self._stop()

    def _stop(self) -> None:
        if not self._may_serve.is_set():
            os._exit(0)  # nothing was accepted yet
        self.stopping.set()

    def _begin(self, step: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _run(descriptor: int) -> None:
    os.set_inheritable(descriptor, False)  # processes that decode pictures must not keep the channel open
    channel = await Channel.connect(socket.socket(fileno=descriptor))
    setup = await channel.receive()
    if setup is None:
        return  # the supervisor has ended
    index = int(setup["index"])
    configure(partial(_add_worker, index))
    await Worker(channel, Path(str(setup["folder"]))).run(config_sources.from_toml(str(setup["config"])), index)


def _add_worker(index: int, _: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["worker"] = index
    return event


def main(descriptor: int) -> None:
    """Serves; `descriptor` is the number of this end of the channel."""
    uvloop.run(_run(descriptor))
    leave_threads()
