"""Reports of a training: a bar in a terminal or a line for each epoch, and the logs that were asked for."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from resprobe_exporter import progress
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import loggers
from resprobe_exporter.training.data import Data
from resprobe_exporter.training.recipes import Recipe
from resprobe_exporter.training.trainer import Progress


@dataclass(frozen=True)
class Logs:
    """Files that a training is logged to.

    Attributes:
        json_lines: File to append JSON lines to. If None, there is none.
        tensorboard: Directory of TensorBoard's event files. If None, there is none.
    """

    json_lines: Path | None = None
    tensorboard: Path | None = None


@contextmanager
def reports(
    logs: Logs, net: ResNet, data: Data, recipe: Recipe, seed: int, processes: int
) -> Iterator[Callable[[Progress], None]]:
    """Announces a training and yields the function that reports each step to people and logs.

    Args:
        logs: Files to log to.
        net: Net that is trained.
        data: Images that it is trained on.
        recipe: Hyperparameters.
        seed: Seed of the training.
        processes: Number of processes that train together.
    """
    _announce(net.architecture, net.parameter_count, data, recipe, processes)
    epochs = recipe.passes(len(data.train))
    with ExitStack() as stack:
        sinks: list[loggers.Report] = [stack.enter_context(TrainingDisplay(epochs)).report]
        if logs.json_lines is not None:
            run = {
                "seed": seed,
                "net": asdict(net.architecture),
                "recipe": recipe.as_json(),
                "data": data.name,
                "images": len(data.train),
                "processes": processes,
            }
            sinks.append(stack.enter_context(loggers.json_lines(logs.json_lines, run)))
        if logs.tensorboard is not None:
            sinks.append(stack.enter_context(loggers.tensorboard(logs.tensorboard)))

        def report(now: Progress) -> None:
            for sink in sinks:
                sink(now)

        yield report


def _announce(shape: Architecture, parameters: int, data: Data, recipe: Recipe, processes: int) -> None:
    together = f" in {processes} processes" if processes > 1 else ""
    progress.say(
        f"training {shape.family} of depth {shape.depth}: {parameters:,} parameters, {len(data.train):,} images of "
        f"{data.name}, recipe {recipe.name}, {recipe.passes(len(data.train))} epochs{together}"
    )


class TrainingDisplay:
    """Context in which `report` can be called after every step of a training."""

    def __init__(self, epochs: int) -> None:
        """Creates the display of a training of so many epochs."""
        columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        self._epochs = epochs
        self._bar = Bar(*columns, console=progress.console, transient=True)
        self._task = self._bar.add_task("training", total=None)

    def __enter__(self) -> "TrainingDisplay":
        if progress.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def report(self, now: Progress) -> None:
        """Moves the bar in a terminal, and writes a line at the end of an epoch."""
        text = (
            f"epoch {now.epoch + 1}/{self._epochs}  loss {now.loss:.3f}  "
            f"accuracy {now.accuracy:.3f}  {now.rate:,.0f} images/s"
        )
        if progress.console.is_terminal:
            self._bar.update(self._task, description=text, total=now.steps, completed=now.step)
        if now.last:
            if now.validation is not None:
                text += f"  validation {now.validation.accuracy:.3f}"
            progress.note(f"{text}  {now.left:.0f} s left")
