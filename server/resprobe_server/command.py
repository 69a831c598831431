"""The command `resprobe-server`: its options, its signals and its log."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from resprobe.cli import app
from resprobe.errors import Error
from rich.console import Console

from resprobe_server import config_sources
from resprobe_server.config import Config

PROG = "resprobe-server"
DESCRIPTION = """Serves the models of a repository over gRPC: classes of images, and what each residual block did.

Stops on SIGTERM or Ctrl-C after it has answered the requests that it accepted; a second signal stops it at once.

Each option can also be set in the environment (RESPROBE_SERVER_MAX_BATCH=64) or in a TOML file (max_batch = 64). A flag
overrides the environment, and the environment overrides the file.

Examples:
  resprobe-server models
  resprobe-server models --device cuda --max-batch 64
  resprobe-server models --address 0.0.0.0:50051 --tls-cert server.crt --tls-key server.key
  resprobe-server models --mode explicit --load resnet20
  resprobe-server models --workers 4 --metrics-address 127.0.0.1:9091
  resprobe-server models --self-test
  resprobe-server --print-config > server.toml
  resprobe-server --config server.toml"""


@dataclass(frozen=True)
class Serve(Config):
    """Options of the command `resprobe-server`."""

    config: Path | None = None
    """TOML file that sets options, such as max_batch = 64. Default: the environment variable RESPROBE_SERVER_CONFIG."""
    print_config: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print the configuration as a TOML file for --config, and exit."""
    self_test: tyro.conf.FlagCreatePairsOff[bool] = False
    """Load every version, run its graphs, print their times, and exit: with 1 if a version failed, else 0. Quantised
    versions are compared with the float32 versions that they were made of, and those that are slower are named."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print the result of --self-test as JSON."""

    def run(self) -> None:
        """Serves until a signal arrives, or does what an option asks for and returns."""
        if self.print_config:
            print(config_sources.to_toml(self), end="")
            return
        import uvloop

        from resprobe_server.supervision.log import configure, leave_threads

        configure()

        from resprobe_server.errors import StartError
        from resprobe_server.start_check import check_version, check_workers

        try:
            self.check()
            check_version(self.untested_grpcio)
            if self.workers > 1 and not self.self_test:
                check_workers()
                asyncio.run(_supervise(self))
            else:
                uvloop.run(_self_test(self) if self.self_test else _serve(self))
            leave_threads()
        except StartError as error:
            raise Error(str(error)) from error


async def _self_test(options: Serve) -> None:
    from resprobe_server.self_test import self_test, slower, table

    rows = await self_test(options)
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        console = Console(soft_wrap=True)
        console.print(table(rows))
        for line in slower(rows):
            console.print(line, markup=False)
    if failed := [f"{row.model} version {row.version}" for row in rows if row.failure]:
        raise Error(f"failed to load: {', '.join(failed)}")


async def _supervise(config: Config) -> None:
    from resprobe_server.supervision.supervisor import supervise

    await supervise(config)


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


def main() -> None:
    """Reads the options and serves."""
    try:
        default = Serve(**config_sources.read(sys.argv[1:], os.environ))
    except Error as error:
        app.fail(PROG, str(error))
    app.main(PROG, DESCRIPTION, (Serve,), default=default)
