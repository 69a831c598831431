"""`--self-test`: loads all that the server would, and says what each graph took to load and to run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from resprobe_server.config import Config
from resprobe_server.models.registry import Models
from resprobe_server.scheduling.worker import Device


@dataclass(frozen=True)
class Row:
    """A graph that was run, or a version that failed to load.

    Attributes:
        model: Its name.
        version: Its number.
        graph: File; empty for a version that failed.
        provider: That the graph ran on.
        load: Seconds.
        runs: Seconds of the first run of each batch size; none for a graph whose inputs are not known.
        failure: Why the version did not load; empty if it did.
        note: What its operator should know of the version; empty if nothing.
    """

    model: str
    version: int
    graph: str
    provider: str
    load: float
    runs: dict[int, float]
    failure: str
    note: str


async def self_test(config: Config) -> list[Row]:
    """Loads, runs and checks every version, whatever the mode.

    Raises:
        StartError: There is nothing to test, nothing loads, or the device cannot be used.
    """

    async def show(name: str, serving: bool) -> None:
        """Nobody asks for the health of a test."""

    models = Models(replace(config, mode="once", load=()), Device(), show)
    await models.start()
    rows = [
        Row(
            model.name,
            version.number,
            file,
            model.serving.provider,
            times.load,
            dict(times.runs),
            "",
            "; ".join(version.notes),
        )
        for version in models.table.all()
        for model in [version.description]
        for file, times in version.times.items()
    ]
    rows += [Row(one.name, one.version, "", "", 0.0, {}, one.reason, "") for one in models.index() if one.reason]
    return sorted(rows, key=lambda row: (row.model, row.version))


def table(rows: Sequence[Row]) -> Table:
    """For a person; why a version failed is in the log."""
    shown = Table(box=None, pad_edge=False)
    for header in ("model", "version", "graph", "provider", "load ms", "run ms (batch)"):
        shown.add_column(header, overflow="fold")
    for row in rows:
        runs = "  ".join(f"{1000 * seconds:.1f} ({size})" for size, seconds in row.runs.items())
        if row.failure:
            shown.add_row(row.model, str(row.version), "[red]failed[/red]")
        else:
            provider = row.provider.removesuffix("ExecutionProvider")
            shown.add_row(row.model, str(row.version), row.graph, provider, f"{1000 * row.load:.1f}", runs or "–")
    return shown
