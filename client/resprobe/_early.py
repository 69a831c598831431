"""Ends a command in one line if Ctrl-C is pressed while it still imports: there is nothing to clean up yet.

A command imports this module first, so it imports as little as it can: until then, Python itself handles Ctrl-C.
"""

import os
import signal

CODE = 130  # what shells give a program that Ctrl-C ended


class Heard:
    """A context in which Ctrl-C ends the process at once, unless SIGINT is ignored or has a handler of its own."""

    def __init__(self, prog: str) -> None:
        """Creates the context; `prog` is the name of the command."""
        self._prog = prog

    def __enter__(self) -> None:
        """Sets the handler, on the main thread."""
        if is_free():
            try:
                signal.signal(signal.SIGINT, self._leave)
            except ValueError:  # another thread, which signals do not reach
                return

    def __exit__(self, *_: object) -> None:
        """Gives SIGINT back to Python's own handler, unless another handler was set meanwhile."""
        if signal.getsignal(signal.SIGINT) == self._leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _leave(self, _number: int, _frame: object) -> None:
        say(self._prog)
        os._exit(CODE)


def is_free() -> bool:
    """Returns whether SIGINT has no handler but Python's own or that of this module."""
    handler = signal.getsignal(signal.SIGINT)
    return handler is signal.default_int_handler or isinstance(getattr(handler, "__self__", None), Heard)


def say(prog: str) -> None:
    """Writes to standard error that a command was interrupted."""
    try:
        os.write(2, f"{prog}: interrupted\n".encode())
    except OSError:
        return
