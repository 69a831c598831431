"""The commands, run in this process."""

from collections.abc import Callable

import resprobe_exporter.__main__ as exporter
import resprobe_server.__main__ as server
from resprobe import __main__ as client

COMMANDS = {
    "resprobe": (client.main, ["models", "classify", "blocks", "lesions", "report", "compare", "drift", "health"]),
    "exporter": (exporter.main, ["build", "convert", "inspect", "quantize", "study"]),
    "resprobe-server": (server.main, []),
}


Run = Callable[..., tuple[int, str, str]]
