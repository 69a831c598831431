"""Lines on standard error about the work of the exporter."""

from contextlib import suppress

from rich.console import Console

console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Writes a line about the next step of the work."""
    note(f"{text} …")


def note(text: str) -> None:
    """Writes a line about a result or an assumption."""
    with suppress(OSError):  # the work continues if standard error is full or closed
        console.print(text, markup=False)
