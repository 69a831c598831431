"""`--self-test`: loads every version as the server would, and measures the load and the first runs of each graph.

The lean graph of a quantised version is also measured by turns with that of its float32 version, if that serves too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from resprobe_protos.contract import LEAN
from rich.table import Table

from resprobe_server.config import Config
from resprobe_server.execution.providers import Provider, choose
from resprobe_server.models.registry import Models
from resprobe_server.models.version import Version
from resprobe_server.scheduling.worker import Device
from resprobe_server.validation import speed


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
        speedup: Images a second of a quantised version's lean graph over those of its float32 version. If None, it is
            another graph, or the float32 version is not in the repository.
    """

    model: str
    version: int
    graph: str
    provider: str
    load: float
    runs: dict[int, float]
    failure: str
    note: str
    speedup: float | None = None

    @property
    def is_slower(self) -> bool:
        """Whether the quantised version runs slower here than its float32 version."""
        return self.speedup is not None and self.speedup < 1


async def self_test(config: Config) -> list[Row]:
    """Loads, runs and checks every version, in whatever mode the server would run.

    Raises:
        StartError: The repository holds no version, none loads, or the device cannot be used.
    """

    async def show(name: str, serving: bool) -> None:
        """Does nothing: a self-test answers no health checks."""

    models = Models(replace(config, mode="once", load=(), max_models=0, max_memory=""), Device(), show)
    await models.start()
    provider, served = choose(config), models.table.all()
    rows = [row for version in served for row in _rows(version, _speedup(version, served, config, provider))]
    rows += [Row(one.name, one.version, "", "", 0.0, {}, one.reason, "") for one in models.index() if one.reason]
    return sorted(rows, key=lambda row: (row.model, row.version))


def _rows(version: Version, speedup: float | None) -> Iterator[Row]:
    """Yields a row for each graph of a version; the speedup is that of its lean graph."""
    model, notes = version.description, "; ".join(version.notes)
    for file, times in version.times.items():
        provider, ran = model.serving.provider, dict(times.runs)
        faster = speedup if file == LEAN else None
        yield Row(model.name, version.number, file, provider, times.load, ran, "", notes, faster)


def _speedup(version: Version, served: Sequence[Version], config: Config, provider: Provider) -> float | None:
    """Measures a quantised version by turns with its float32 version. If None, it is not one, or that is not served."""
    source = _source(version, served)
    if source is None or version.format is None or version.format != source.format:
        return None
    before, after = (config.repository / one.description.name / str(one.number) / LEAN for one in (source, version))
    return speed.speedup(before, after, provider, version.format)


def _source(version: Version, served: Sequence[Version]) -> Version | None:
    """Returns the version, by name, number and digest of weights, that a version was quantised from."""
    made_of = version.description.quantization
    for one in served:
        model = one.description
        if (model.name, model.version) == (made_of.source_name, made_of.source_version):
            return one if model.provenance.weights_sha256 == made_of.source_weights_sha256 else None
    return None


def slower(rows: Sequence[Row]) -> Iterator[str]:
    """Yields a sentence for each quantised version that runs slower here than its float32 version."""
    for row in rows:
        if row.is_slower:
            yield (
                f"{row.model} version {row.version} is slower here than the float32 version that it was made of: "
                f"{row.speedup:.2f} × as many images a second"
            )


def table(rows: Sequence[Row]) -> Table:
    """Returns the rows as a table for a terminal; the log says why a version failed."""
    shown = Table(box=None, pad_edge=False)
    compared = ("× float32",) if any(row.speedup is not None for row in rows) else ()
    for header in ("model", "version", "graph", "provider", "load ms", "run ms (batch)", *compared):
        shown.add_column(header, overflow="fold")
    for row in rows:
        runs = "  ".join(f"{1000 * seconds:.1f} ({size})" for size, seconds in row.runs.items())
        if row.failure:
            shown.add_row(row.model, str(row.version), "[red]failed[/red]")
        else:
            provider = row.provider.removesuffix("ExecutionProvider")
            faster = () if row.speedup is None else (f"{row.speedup:.2f}",)
            cells = (row.graph, provider, f"{1000 * row.load:.1f}", runs or "–", *faster)
            shown.add_row(row.model, str(row.version), *cells)
    return shown
