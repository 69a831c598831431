"""What people see while the exporter works: a bar in a terminal, a line for each epoch in a log. On standard error."""

from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from resprobe_exporter.training.trainer import Progress

console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line about what is being done."""
    note(f"{text} …")


def note(text: str) -> None:
    """A line about what has been done."""
    with suppress(OSError):  # work does not end because nobody can read how it goes
        console.print(text, markup=False)


class TrainingDisplay:
    """A context in which `report` can be called after every step of training."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._bar = Bar(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console, transient=True
        )
        self._task = self._bar.add_task("training", total=None)

    def __enter__(self) -> "TrainingDisplay":
        if console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def report(self, progress: Progress) -> None:
        """Shows where training is."""
        text = (
            f"epoch {progress.epoch + 1}/{self._epochs}  loss {progress.loss:.3f}  "
            f"accuracy {progress.accuracy:.3f}  {progress.rate:,.0f} images/s"
        )
        if console.is_terminal:
            self._bar.update(self._task, description=text, total=progress.steps, completed=progress.step)
        if progress.last:
            if progress.validation is not None:
                text += f"  validation {progress.validation.accuracy:.3f}"
            note(f"{text}  {progress.left:.0f} s left")
