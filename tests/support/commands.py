"""The commands: run in this process, or as a process that Ctrl-C reaches."""

import sys
from collections.abc import Callable

import resprobe_exporter.__main__ as exporter
import resprobe_server.__main__ as server
from resprobe import __main__ as client

COMMANDS = {
    "resprobe": (
        client.main,
        ["models", "classify", "blocks", "inspect", "depth", "lesions", "page", "report", "compare", "drift", "health"],
    ),
    "exporter": (exporter.main, ["build", "convert", "probe", "quantize", "inspect", "study"]),
    "resprobe-server": (server.main, []),
}
Run = Callable[..., tuple[int, str, str]]
# A shell's background jobs ignore SIGINT, and so would what tests start in one. The process mends that itself, because
# code between fork and exec (preexec_fn) can deadlock or abort beside gRPC's threads.
_LISTENING = (
    "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def listening(module: str, *arguments: str) -> list[str]:
    """Returns the command line of a module as a program that Ctrl-C reaches."""
    return [sys.executable, "-c", _LISTENING, module, *arguments]
