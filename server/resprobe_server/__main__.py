"""The command `resprobe-server`."""

import asyncio
import logging
import os
import signal
import sys
from dataclasses import dataclass

from resprobe import _command
from resprobe.errors import Error

from resprobe_server.config import Config

DESCRIPTION = """Serves the models of a repository over gRPC: classes of images, and what each residual block did.

Stops on SIGTERM or Ctrl-C after finishing what was accepted; a second signal stops it at once.

Examples:
  resprobe-server models
  resprobe-server models --address 0.0.0.0:50051 --device cuda"""


@dataclass(frozen=True)
class Serve(Config):
    """Options of the command."""

    def run(self) -> None:
        """Serves until a signal comes."""
        _configure_log()
        from resprobe_server.errors import StartError

        try:
            asyncio.run(_serve(self))
        except StartError as error:
            raise Error(str(error)) from error


async def _serve(config: Config) -> None:
    from resprobe_server.app import serve

    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    async with serve(config):
        await stop.wait()


def _configure_log() -> None:
    """Lines for people in a terminal, JSON elsewhere; on standard error."""
    import structlog

    person = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if person else structlog.processors.dict_tracebacks,
            *([] if person else [structlog.processors.JSONRenderer()]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def main() -> None:
    """Entry point of the command `resprobe-server`."""
    _command.main("resprobe-server", DESCRIPTION, (Serve,))


if __name__ == "__main__":
    main()
