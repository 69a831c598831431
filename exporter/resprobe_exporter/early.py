"""Ctrl-C while a command still imports what it needs ends it in one line; there is nothing to tidy up yet.

That begins when this module is imported, which is why it imports nothing but the standard library.
"""

import os
import signal
import threading
from types import FrameType

CODE = 130  # what shells give a program that Ctrl-C ended


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, b"exporter: interrupted\n")
    os._exit(CODE)


def hand_over() -> None:
    """Gives Ctrl-C back to Python's own handler; to be called when all is imported."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where it is ignored
):
    signal.signal(signal.SIGINT, _leave)
