"""`--self-test`: loads every version as the server would, and measures the load and the first runs of each graph."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from resprobe_server.config import Config
from resprobe_server.models.registry import Models
from resprobe_server.scheduling.worker import Device


@dataclass(frozen=True)
class Row:
    """Row of the result: a graph that was run, or a version that failed to load.

    Attributes:
        model: Name of the model.
        version: Number of the version.
        graph: File of the graph; empty for a version that failed.
        provider: Execution provider that ran the graph.
        load: Seconds to load the graph.
        runs: Seconds of the first run of each batch size; empty for a graph that no made-up inputs fit.
        failure: Why the version did not load; empty if it did.
        note: What an operator should know of the version; empty if nothing.
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
    """Loads, runs and checks every version, in whatever mode the server would run.

    Raises:
        StartError: The repository holds no version, none loads, or the device cannot be used.
    """

    async def show(name: str, serving: bool) -> None:
        """Does nothing: a self-test answers no health checks."""

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
    """Returns the rows as a table for a terminal; the log says why a version failed."""
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
