"""Progress of long work: a bar on the terminal, a callback, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Callback: TypeAlias = Callable[[int, int | None], object]
Progress: TypeAlias = bool | Callback  # True: a bar


@contextmanager
def shown(progress: "Progress | Callable[[int, int], object]", text: str) -> Iterator[Callback]:
    """Yields the function to call with the number of images that are done, and of all images.

    Args:
        progress: Function to call. If True, a bar is drawn on standard error, if that is a terminal or a notebook; if
            False, nothing is shown.
        text: Label of the bar.
    """
    if callable(progress):
        yield progress  # type: ignore[misc]  # callbacks that expect a total get one
    elif not progress:
        yield lambda _done, _total: None
    else:
        from rich.console import Console
        from rich.progress import Progress as Bars

        console = Console(stderr=True)
        with Bars(console=console, transient=True, disable=not (console.is_terminal or console.is_jupyter)) as bars:
            task = bars.add_task(text, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)
