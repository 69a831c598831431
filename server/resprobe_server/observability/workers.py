"""Metrics of a server with several workers: those of all workers as one, and how many there are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from resprobe_server.observability.merging import merge


@dataclass(frozen=True)
class Standing:
    """What is known of all workers at a scrape.

    Attributes:
        texts: Metrics of each worker that runs, as text; empty if it has given none yet.
        ended: Counters of the workers that have ended, added up.
        serving: Number of workers that serve.
        restarts: Number of workers that were started in place of one that had ended.
    """

    texts: tuple[str, ...]
    ended: str
    serving: int
    restarts: int


class WorkersCollector(Collector):
    """Asks the workers at each scrape."""

    def __init__(self, ask: Callable[[], Standing]) -> None:
        """Creates the collector; `ask` may be called on any thread."""
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        """Yields all metrics."""
        found = self._ask()
        yield GaugeMetricFamily("resprobe_workers", "Processes that serve.", found.serving)
        text = "Processes that were started in place of one that had ended."
        yield CounterMetricFamily("resprobe_worker_restarts", text, found.restarts)
        yield from merge(found.texts, found.ended)


def registry(ask: Callable[[], Standing]) -> CollectorRegistry:
    """Returns the metrics of all workers, for the listener."""
    made = CollectorRegistry()
    made.register(WorkersCollector(ask))
    return made
