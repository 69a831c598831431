"""The log of the server's processes, and how they end."""

import logging
import os
import sys
import threading

import structlog


def configure(*first: structlog.typing.Processor) -> None:
    """Writes the log to standard error: lines for people in a terminal, JSON elsewhere. `first` adds to each event.

    A line is one write, even with PYTHONUNBUFFERED=1, where `print` makes two: lines of several workers do not mix.
    """
    in_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            *first,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if in_terminal else structlog.processors.dict_tracebacks,
            *([] if in_terminal else [structlog.processors.JSONRenderer()]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def leave_threads() -> None:
    """Ends the process without waiting for threads whose result is no longer needed, such as a picture."""
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
