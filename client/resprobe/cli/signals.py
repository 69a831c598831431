"""Ctrl-C in a command: the first press ends the work and tidies up, the second ends the process at once."""

import atexit
import os
import signal
import sys
import threading
from types import FrameType

from resprobe import _early


class Interrupts:
    """A context in which the first SIGINT raises KeyboardInterrupt, and the next one ends the process at once.

    A second KeyboardInterrupt would be raised while connections are closed, which leaves their threads waiting for each
    other. After a first one the handler stays, because the interpreter tidies up after the context too.
    """

    def __init__(self, prog: str) -> None:
        self._prog, self._pressed, self._said = prog, False, False

    def __enter__(self) -> "Interrupts":
        self._active = threading.current_thread() is threading.main_thread()
        if self._active:
            self._before = signal.getsignal(signal.SIGINT)
            self._active = _early.is_free()  # not where SIGINT is ignored
        if self._active:
            signal.signal(signal.SIGINT, self._on_signal)
            atexit.register(self._ignore)
        return self

    def check(self) -> None:
        """Raises KeyboardInterrupt if SIGINT arrived: a library may have caught it, or raised something else for it."""
        if self._pressed:
            raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        if self._active and not self._pressed:
            signal.signal(signal.SIGINT, self._before)

    def _ignore(self) -> None:
        """Ignores SIGINT at the very end, where a press would find no handler and change the exit code."""
        if self._pressed:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def say(self) -> None:
        """Prints once, on standard error, that the command was interrupted."""
        if not self._said:
            self._said = True
            _early.say(self._prog)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._pressed:
            self.say()
            os._exit(_early.CODE)
        self._pressed = True
        raise KeyboardInterrupt


def drop_output() -> None:
    """Redirects output that cannot be written to nowhere, so that the interpreter does not fail while it ends."""
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
