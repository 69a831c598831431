"""One worker as the supervisor sees it: a process, and the channel to it."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from resprobe_server import config_sources
from resprobe_server.config import Config
from resprobe_server.workers.channel import Channel, Message

COMMAND = "import sys; from resprobe_server.supervision.worker import main; main(int(sys.argv[1]))"


class Process:
    """A worker that was started.

    Attributes:
        index: Number of the worker.
        pid: Id of the process.
        is_loaded: Whether it has loaded its models.
        is_serving: Whether it serves.
        reason: Why it could not start, in its own words; empty if it gave no reason.
        metrics: Its metrics as text, when they were last asked for; empty before.
    """

    def __init__(self, index: int, process: asyncio.subprocess.Process, channel: Channel) -> None:
        """Creates it from its parts; `start` makes them."""
        self.index, self.pid, self._process, self._channel = index, process.pid, process, channel
        self.is_loaded = self.is_serving = False
        self.reason = self.metrics = ""
        self._asked: asyncio.Future[None] | None = None

    @classmethod
    async def start(cls, index: int, config: Config, folder: Path) -> "Process":
        """Starts a worker, in a session of its own: signals of a terminal reach the supervisor alone."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", COMMAND, str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        channel = await Channel.connect(ours)
        channel.send(config=config_sources.to_toml(config), folder=str(folder), index=index)
        return cls(index, process, channel)

    async def follow(self, report: Callable[["Process", Message], None]) -> int:
        """Reads what the worker says until it has ended.

        Args:
            report: Gets what concerns others than this object.

        Returns:
            The exit code of the process; negative for the signal that ended it.
        """
        while (message := await self._channel.receive()) is not None:
            event = message["event"]
            if event == "metrics":
                self.metrics = str(message["text"])
                self._answered()
            elif event == "failed":
                self.reason = str(message["reason"])
            else:
                self.is_loaded = True
                self.is_serving = self.is_serving or event == "serving"
                report(self, message)
        code = await self._process.wait()
        self.is_serving = False
        self._answered()
        self._channel.close()
        return code

    def serve(self) -> None:
        """Lets the worker serve."""
        self._channel.send(do="serve")

    def stop(self) -> None:
        """Tells the worker to answer what it has accepted, and to end."""
        self._channel.send(do="stop")

    def kill(self) -> None:
        """Ends the process at once."""
        try:
            self._process.kill()
        except ProcessLookupError:
            return  # it has ended

    async def ask_metrics(self, seconds: float) -> None:
        """Renews `metrics`, unless the worker does not answer in time."""
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self._channel.send(do="metrics")
        try:
            await asyncio.wait_for(asyncio.shield(self._asked), seconds)
        except TimeoutError:
            return

    def _answered(self) -> None:
        if self._asked is not None:
            self._asked.set_result(None)
            self._asked = None
